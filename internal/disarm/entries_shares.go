package main

// shareEntries are the defences of a session's bodies, and of its life, against large header
// blocks.
var shareEntries = []entry{
	{
		attack: "A26", what: "large header blocks and DATA take turns",
		file: "headerqueue.go",
		old:  "		return t.large > 0\n",
		new:  "		return false\n",
		test: "^TestHeaderBlocksTakeTurns$", pkg: "tests/shares",
	},
	{
		attack: "A26", what: "a control frame that makes progress is not cut",
		file: "keepalive.go",
		old:  "	if a != nil && a.greeted {\n",
		new:  "	if false {\n",
		test: "^TestSlowHeaderBlock$", pkg: "tests/shares",
	},
	{
		attack: "A26", what: "bodies that are written in pieces have their turn",
		file: "headerqueue.go",
		old:  "t.last != 0 && batch-t.last <= 1",
		new:  "false",
		test: "^TestHeaderBlocksTakeTurns$", pkg: "tests/shares",
	},
	{
		attack: "A26", what: "an end without bytes does not wait for header blocks",
		file: "sender.go",
		old:  "		if st := s.sched.fins.head; st != nil {\n",
		new:  "		if st := s.sched.fins.head; st != nil && false {\n",
		test: "^TestEndsAmongHeaderBlocks$", pkg: "tests/shares",
	},
	{
		attack: "A26", what: "a control frame of any size that makes progress is not cut",
		file: "reader.go",
		old:  "		if len(r.buf)-moved >= frameProgress {\n",
		new:  "		if len(r.buf)-moved >= readBufferSize {\n",
		test: "^TestSlowHeaderBlock$", pkg: "tests/shares",
	},
	{
		attack: "A26", what: "a block beyond a limit that is lower than usual is not charged",
		file: "receiver_headers.go",
		old:  "		if s.inflate.size > s.honestBlock() {\n",
		new:  "		if true {\n",
		test: "^TestManyLargeHeaders$", pkg: "tests/shares",
	},
}
