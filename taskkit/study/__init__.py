"""Many runs from one file: planned whole, conducted as processes of their own, gone on with after any end."""
