"""`--check`: what works on an account, whether it will be complete, how long a first sync takes."""
