import "../parts/theme.css";
import { render } from "preact";
import { content } from "../parts/store";

render(<h1>{content<{ title: string }>().title}</h1>, document.getElementById("page")!);
