"""Data sets that several assignments may use: each module defines DATA_SET."""
