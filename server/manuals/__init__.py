"""From a catalog entry to ranked passages: catalog, fetch, extract, cache, rank."""
