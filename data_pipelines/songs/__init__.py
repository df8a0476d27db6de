"""Songs and their stems: how data sets lay them out, how they are read, their spectrograms."""
