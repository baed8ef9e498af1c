X(csum)
