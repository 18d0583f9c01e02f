"""The programs that read manuals, run in a child process without network or file writing."""
