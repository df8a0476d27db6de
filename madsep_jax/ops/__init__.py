"""How the array operations of the models are carried out."""
