package main

// coreEntries are the defences against A1 to A10: what a peer can make a session
// allocate, compute, start and queue.
var coreEntries = []entry{
	{
		attack: "A1", file: "receiver.go",
		what: "memory for a control frame grows with the bytes that come",
		old:  "	p, err := s.in.exactly(h.length)\n	if err != nil {\n		return err\n	}\n	if !h.typ.hasHeaderBlock()",
		new:  "	declared := make([]byte, 64*h.length)\n	_ = declared\n	p, err := s.in.exactly(h.length)\n	if err != nil {\n		return err\n	}\n	if !h.typ.hasHeaderBlock()",
	},
}
