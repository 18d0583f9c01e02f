"""Language models behind one port: adapters, chain, prices."""
