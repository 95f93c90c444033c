"""Dialects: line protocols that files declare, and the cases that judge their servers.

dialect     what is declared: patterns, replies, requests, a dialect
parsing     a dialect from its TOML file; `locating` names the line of a mistake
builtin     the files of the dialects that come along
talk        one case's clients, who speak the dialect
families    the cases
"""
