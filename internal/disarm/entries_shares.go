package main

// shareEntries are the defences of a session's bodies against priorities, and of its bodies
// and its life against large header blocks.
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
		attack: "A26", what: "a body of single bytes does not hold header blocks up",
		file: "sender.go",
		old:  "		s.turn.matched(leastMatch-sent, s.batch)\n",
		new:  "",
		test: "^TestTricklesAmongHeaderBlocks$", pkg: "tests/shares",
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
	{
		attack: "A9", what: "levels differ by a factor of two",
		file: "scheduler.go",
		old:  "	return 2*leastQuantum - int32(st.priority&(priorities-1))*leastQuantum/(priorities-1)\n",
		new:  "	return 8*leastQuantum - int32(st.priority&(priorities-1))*leastQuantum\n",
		test: "^TestPrioritiesAreBounded$", pkg: "tests/shares",
	},
	{
		attack: "A9", what: "a path gains no priority",
		file: "priority.go",
		old:  "	return defaultPriority\n",
		new:  "	return PriorityFor(req.URL)\n",
		test: "^Test(PrioritiesAreBounded|ProxyChoosesPriorities)$", pkg: "tests/shares",
	},
	{
		attack: "A9", what: "a series of streams that begin is as one stream",
		file: "scheduler.go",
		old:  "	case st.part.round != sc.round && sc.overtakes <= 0:\n",
		new:  "	case false:\n",
		test: "^TestSchedulerNewcomers$",
	},
	{
		attack: "A9", what: "writers that wait for the processor are waited for",
		file: "sender.go",
		old:  "		if s.deserted {\n",
		new:  "		if false {\n",
		test: "^TestEqualUploads$", pkg: "tests/shares",
	},
}
