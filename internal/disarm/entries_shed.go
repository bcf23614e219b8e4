package main

// windowEntries are the defences against A29: streams that no application reads, which use
// up what all streams of a session share.
var windowEntries = []entry{
	{
		attack: "A29", file: "windows.go", pkg: "tests/windows",
		what: "the session window covers the streams by default",
		old:  "	sum := kinds * int64(c.MaxConcurrentStreams) * int64(c.StreamWindow)\n", new: "	sum := int64(c.StreamWindow)\n",
	},
	{
		attack: "A29", file: "windows.go", pkg: "tests/windows",
		what: "no more streams are granted than the largest session window covers",
		old:  "		c.MaxConcurrentStreams = int(min(streams, maxWindow/kinds/defaultWindow))\n", new: "",
	},
	{
		attack: "A29", file: "windows.go", pkg: "tests/windows",
		what: "contradictory fields are an error",
		old:  "	case streams <= 0 || streams*stream <= session:\n", new: "	case true:\n",
	},
	{
		attack: "A29", file: "credit.go", pkg: "tests/windows",
		what: "a session that is short of window grants credit in small steps",
		old:  "	if c.in.avail < c.in.size/2 {\n", new: "	if false {\n",
	},
	{
		attack: "A29", file: "credit.go", pkg: "tests/windows", test: "^TestAttackA29CreditThatIsOwed$",
		what: "credit that is owed already is granted when the window becomes short",
		old:  "	if s.flow.owed.Load() >= s.flow.step.Load() { //", new: "	if false { //",
	},
	{
		attack: "A29", file: "streams.go", pkg: "tests/windows",
		what: "a client opens no more streams than its window covers",
		old:  "	return min(limit, s.conf.grants.opens-", new: "	return min(limit, 250-",
	},
	{
		attack: "A29", file: "streams.go", pkg: "tests/windows",
		what: "what ended streams have left unread counts",
		old:  "s.conf.grants.opens-s.flow.keptSlots(int64(s.conf.StreamWindow))-", new: "s.conf.grants.opens-",
	},
	{
		attack: "A29", file: "credit.go", pkg: "tests/windows",
		what: "reading what ended streams have left lets others open",
		old:  "	if less && s.err == nil {\n", new: "	if false && less {\n",
	},
	{
		attack: "A29", file: "tune.go", pkg: "tests/windows",
		what: "no stream takes more than half of the pool",
		old:  "most-e.given), 0)", new: "t.pool), 0)",
	},
	{
		attack: "A29", file: "tune.go", pkg: "tests/windows",
		what: "a stream that has more than others returns it",
		old:  "	case e.given > most:\n", new: "	case false:\n",
	},
	{
		attack: "A29", file: "tune.go", pkg: "tests/windows", test: "^TestAttackA29ParkedStreamsLeaveThePool$",
		what: "a window is as large as its reader needs",
		old:  "	case float64(size) > shrinkAbove*inTrip:\n", new: "	case false:\n",
	},
	{
		attack: "A29", file: "streams.go", pkg: "tests/windows", test: "^TestAttackA29LentSlotsStayClosed$",
		what: "slots whose windows the pool has borrowed are not opened",
		old:  "-s.lentSlotsLocked())\n", new: ")\n",
	},
	{
		attack: "A29", file: "tune.go", pkg: "tests/windows", test: "^TestAttackA29LentSlotsStayClosed$",
		what: "slots that the pool gives back are opened",
		old:  "	if lent && s.err == nil {\n", new: "	if false && lent {\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "without windows the fullest stream is reset",
		old:  "		if n := st.in.buffered(); n > most {\n", new: "		if n := st.in.buffered(); n > 0 && (most == 0 || n < most) {\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "streams that have ended unread are reset too",
		old:  "	for _, st := range s.leftover {\n", new: "	for _, st := range []*Stream(nil) {\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "a reader that keeps up is spared",
		old:  " || st.in.keepsUp(part)", new: " || st.in.keepsUp(0*part)",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "a reader that has stopped is not waited for",
		old:  "		stuck = s.stall(wait.C) || stuck\n", new: "		stuck = s.stall(nil) || stuck\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "a reader that trickles is not waited for each second",
		old:  "	case stuck, !alone && s.starvesLocked(time.Now()):\n", new: "	case stuck:\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "ShedAfter resets streams",
		old:  "	stuck := s.stuckLocked()\n", new: "	stuck := s.stuckLocked()[:0]\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "ShedAfter spares streams with progress",
		old:  "	stuck = b.unread > 0 && b.pace.swept == b.pace.read\n", new: "	stuck = b.unread > 0\n",
	},
}
