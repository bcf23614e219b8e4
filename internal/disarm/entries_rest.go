package main

// restEntries are the defences against A11 to A25: what a peer, or somebody behind it,
// can find out, forge, and hold up.
var restEntries = []entry{}
