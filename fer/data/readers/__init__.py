"""One file for each dataset layout, and the records that they yield."""
