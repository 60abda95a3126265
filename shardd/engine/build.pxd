# Nothing of this module is for C: it is compiled to reach the families' hot handlers.
