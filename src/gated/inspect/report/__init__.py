"""The report of a trained run: one offline page with verdict, forecasts, gates and memory."""
