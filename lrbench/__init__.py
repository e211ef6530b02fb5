"""lrbench: which learning-rate schedule should I use, and how much does it matter?"""

__version__ = "0.1.0"
