"""What callers give: checked against the signature, with the word that was meant."""
