"""What the engines that fuse a cell's loop over time have in common.

The plan of what is computed before the loop, in it and after it, of what is kept for the way back
and where it stands; the loop as one operation of autograd and as registered operators. An engine
adds `Loops`: what runs the loop on its machine.
"""
