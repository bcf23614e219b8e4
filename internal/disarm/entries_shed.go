package main

// windowEntries are the defences against A29: streams that no application reads, which use
// up what all streams of a session share.
var windowEntries = []entry{
	{
		attack: "A29", pkg: "tests/windows", test: "^TestFreshBytesAreNoBacklog$", file: "shed.go",
		what: "readers are given the time to read before their streams are reset",
		old:  "		case l.waited < freshBytes && s.unaware == nil && !by.hurry:\n",
		new:  "		case false:\n",
	},
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
		old:  "	if streams <= 0 || need <= session {\n", new: "	if true {\n",
	},
	{
		attack: "A29", file: "windows.go", pkg: "tests/windows",
		what: "the session window covers a stream of each side that sends",
		old:  "	if need := d.kinds() * stream; need > session {\n", new: "	if false {\n		need := int64(0)\n",
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
		old:  "	return min(limit, s.conf.grants.opens-held-", new: "	return min(limit, 250-held-",
	},
	{
		attack: "A29", file: "streams.go", pkg: "tests/windows",
		what: "what ended streams have left unread counts",
		old:  "s.conf.grants.opens-held-", new: "s.conf.grants.opens-",
	},
	{
		attack: "A29", file: "credit.go", pkg: "tests/windows",
		what: "reading what ended streams have left lets others open",
		old:  "	if before < 0 && s.flow.spareLocked() > before", new: "	if false && before < 0",
	},
	{
		attack: "A29", file: "credit.go", pkg: "tests/windows", test: "^TestAttackA29KeptAnswers$",
		what: "what ended streams have left unread is taken from the pool first",
		old:  "	over := min(kept, -s.flow.spareLocked()) - freed\n", new: "	over := kept - freed\n",
	},
	{
		attack: "A29", file: "tune.go", pkg: "tests/windows", test: "^TestAttackA29KeptIsCovered$",
		what: "windows do not grow by what ended streams have left unread",
		old:  "	spare := max(s.flow.spareLocked(), min(t.pool, 0))", new: "	spare := t.pool",
	},
	{
		attack: "A29", file: "tune.go", pkg: "tests/windows", test: "^TestAttackA29GrownGivesWay$",
		what: "what windows give back lets others open",
		old:  "	s.sparedLocked(before)\n", new: "	_ = before\n",
	},
	{
		attack: "A29", file: "receiver_headers.go", pkg: "tests/windows", test: "^TestAttackA29KeptRaw$",
		what: "what streams of the peer have left unread counts against it",
		old:  "	case s.crowdedLocked(): //", new: "	case false: //",
	},
	{
		attack: "A29", file: "push_client.go", pkg: "tests/windows", test: "^TestAttackA29RefusedPushes$",
		what: "what has come of a push that is refused is given up",
		old:  "	p.st.forget()\n", new: "",
	},
	{
		attack: "A29", file: "credit.go", pkg: "tests/windows", test: "^TestAttackA29BodiesOfHead$",
		what: "what the reply to HEAD has left unread is taken from the pool",
		old:  " && (s.handlers == nil || !st.cameToEndLocked()) {", new: " {",
	},
	{
		attack: "A29", file: "receiver_headers.go", pkg: "tests/windows", test: "^TestAttackA29KeptPushes$",
		what: "pushes that nobody wants give way to others",
		old:  "	if s.crowded() {\n", new: "	if false {\n",
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
		old:  "-held-s.lentSlotsLocked())\n", new: "-held)\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "without windows the fullest stream is reset",
		old:  "cmp.Compare(b.weight(), a.weight())", new: "cmp.Compare(a.weight(), b.weight())",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "streams that have ended unread are reset too",
		old:  "	for _, st := range s.leftover {\n", new: "	for _, st := range []*Stream(nil) {\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "a reader that keeps up is spared",
		old:  "	if s.unaware == nil && !by.hurry {\n", new: "	if false {\n",
	},
	{
		attack: "A29", file: "pace.go", pkg: "tests/windows", test: "^TestAttackA29ManyReadersThatKeepUp$",
		what: "a reader keeps up however little of its stream is unread",
		old:  "	if p == nil || !p.keepsUpLocked(b.heldLocked(), by.part) {\n", new: "	if p == nil || b.unread < p.step || !p.keepsUpLocked(b.unread, by.part) {\n",
	},
	{
		attack: "A29", file: "pace.go", pkg: "tests/windows", test: "^TestAttackA29Parked",
		what: "streams that were read once, and are not any more, are reset first",
		old:  "	return idle < shedWait || idle < stallPeriod && !by.hurry\n", new: "	_ = idle\n	return true\n",
	},
	{
		attack: "A29", file: "pace.go", pkg: "tests/windows", test: "^TestAttackA29FreshBesideParked$",
		what: "bytes that have waited for long weigh more",
		old:  "float64(b.unread) * (b.waited + freshBytes).Seconds()", new: "float64(b.unread)",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows", test: "^TestAttackA29SmallAndOld$",
		what: "streams that hold little are not reset beside those that hold much",
		old:  "slow.worth(all / int64(max(len(slow), 1))).choose", new: "slow.choose",
	},
	{
		attack: "A29", file: "pace.go", pkg: "tests/windows", test: "^TestParkedAtUnreadBudget$",
		what: "so they are at UnreadBudget",
		old:  "	if s.flow.limit == 0 && s.shed == nil {\n", new: "	if s.unaware != nil || s.flow.limit == 0 && s.shed == nil {\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "a reader that has stopped is not waited for",
		old:  "		stuck = s.stall(wait.C, arrived) || stuck\n", new: "		stuck = s.stall(nil, arrived) || stuck\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/shares", test: "^TestReadersThatBecomeSlow$",
		what: "a reader that becomes slow is not waited for",
		old:  "	starves := s.stalls.starves(now, arrived, by.part)\n", new: "	starves := false\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/shares", test: "^TestLoneUploadThatBecomesSlow$",
		what: "not even if it is the only one of a server",
		old:  "	starves := s.stalls.starves(now, arrived, by.part)\n", new: "	starves := by.part == keepUpAmong && s.stalls.starves(now, arrived, by.part)\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/shares", test: "^TestReadersThatBecomeSlow$",
		what: "whatever the session's limit is",
		old:  "	return h.waited > keptWaiting &&", new: "	return received-h.received < 512<<10 && h.waited > keptWaiting &&",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/shares", test: "^TestReadersSlowerThanTheLine$",
		what: "one that is somewhat slower than the line is",
		old:  " < h.line.rate*took.Seconds()\n", new: " < h.line.rate*took.Seconds()*100\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows",
		what: "ShedAfter resets streams",
		old:  "	late := s.lateLocked()\n", new: "	late := s.lateLocked()[:0]\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows", test: "^TestAttackA29ShedSparesWhatIsNew$",
		what: "ShedAfter spares bytes that have just arrived",
		old:  "	case l.unread == 0 || l.waited < s.shed.after:\n", new: "	case l.unread == 0:\n",
	},
	{
		attack: "A29", file: "pace.go", pkg: "tests/windows", test: "^TestAttackA29ShedTrickle$",
		what: "a byte now and then is no progress",
		old:  "	if p.read >= p.due {\n", new: "	if true {\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows", test: "^TestAttackA29ShedSparesSmall$",
		what: "ShedAfter spares streams that hold little",
		old:  "open.worth(all / max(streams, 1)).choose", new: "open.choose",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows", test: "^TestAttackA29ShedKept$",
		what: "ShedAfter resets ended streams for which somebody waits",
		old:  "	if waiting == 0 || held == 0 {\n", new: "	if true {\n",
	},
	{
		attack: "A29", file: "shed.go", pkg: "tests/windows", test: "^TestAttackA29ShedKept$",
		what: "and spares them if nobody does",
		old:  "	if waiting == 0 || held == 0 {\n", new: "	if held == 0 {\n",
	},
	{
		attack: "A29", file: "credit.go", pkg: "tests/windows", test: "^TestReadAnswersAreForgotten$",
		what: "streams that have ended are let go of when they have been read",
		old:  "	s.forgetReadLocked(st)\n", new: "",
	},
}
