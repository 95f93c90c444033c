"""The core against its models in every case there is, up to a size: a proof as far as that.

This makes it feasible. What the core does with the rest of an input depends on its state alone, and
states are few; so cases that have led to the same state of both sides are followed as one. And every piece
of an input is tried as one chunk from each state, so every cut of the input is. All kinds of reading a buffer
are tried from each state, so every mixture of them is, in fewer steps than by twos: most states of one
mixture are those of others, too.
"""
