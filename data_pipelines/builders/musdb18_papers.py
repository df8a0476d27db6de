"""What MUSDB18 and its uncompressed form share."""

LICENSE = (
    "For education only, non-commercial. 100 songs are from 'The Mixing Secrets Free Multitrack Download Library' "
    "(DSD100), 46 from MedleyDB (CC BY-NC-SA 4.0), 2 by Native Instruments, 2 by The Easton Ellises (CC BY-NC-SA 3.0)."
)


def citation(key: str, title: str, doi: str, year: int) -> str:
    """Return a BibTeX entry."""
    authors = (
        'Rafii, Zafar and Liutkus, Antoine and St{\\"o}ter, Fabian-Robert and Mimilakis, Stylianos Ioannis '
        "and Bittner, Rachel"
    )
    fields = {"author": authors, "title": title, "year": str(year), "doi": doi, "url": f"https://doi.org/{doi}"}
    return f"@misc{{{key},\n" + ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items()) + "\n}"
