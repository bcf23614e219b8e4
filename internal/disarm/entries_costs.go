package main

// costEntries are the defences against A31: what many sessions keep together.
var costEntries = []entry{
	{
		attack: "A31", file: "pools.go", pkg: "tests/costs", test: "^TestAttackA31(ConnectionsLast|LargestGivesWay|UnreadGivesWay|EachKind)$",
		what: "a pool has a limit",
		old:  "	if after <= limit {\n", new: "	if after <= limit || true {\n",
	},
	{
		attack: "A31", file: "pools.go", pkg: "tests/costs", test: "^TestAttackA31LargestGivesWay$",
		what: "the session that holds most gets less than others",
		old:  "		limit = p.crowdedAt()\n", new: "",
	},
	{
		attack: "A31", file: "giveway.go", pkg: "tests/costs", test: "^TestAttackA31RestingGivesWay$",
		what: "streams of the session that holds most give way if they rest",
		old:  "		if over > 0 && len(most) > 0 {\n", new: "		if false {\n",
	},
	{
		attack: "A31", file: "giveway.go", pkg: "tests/costs", test: "^TestAttackA31One(User|Client)Pays$",
		what: "large streams give way although bytes of them move",
		old:  "			if full && over > 0 {\n", new: "			if full && false {\n",
	},
	{
		attack: "A31", file: "giveway.go", pkg: "tests/costs", test: "^TestAttackA31(OneUserPays|RestingGivesWay)$",
		what: "a stream that holds less than the others pays for none of them",
		old:  "return h.n < average || !so(h)", new: "return h.n < average && false || !so(h)",
	},
	{
		attack: "A31", file: "giveway.go", pkg: "tests/costs", test: "^TestGivesWayOnce$",
		what: "what handlers still keep of streams that have given way is not asked for again",
		old:  "		leaving := of.leaving.Load()\n", new: "		leaving := of.leaving.Load() * 0\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^(TestAttackA31OneBlock|TestLateBlocksCount)$",
		what: "the headers of one stream take a part of the pool at most",
		old:  "	if l == nil || cost <= l.pools.of[heldHeaders].share() {\n", new: "	if true {\n",
	},
	{
		attack: "A31", file: "giveway.go", pkg: "tests/costs", test: "^TestAttackA31RestingGivesWay$",
		what: "only streams that rest give way",
		old:  "	return !st.in.moves() && rests\n", new: "	return rests || true\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31(CancelledRequests|GoneClients)Pay$",
		what: "what handlers of ended streams keep is not asked of others",
		old:  "	case st.neededLocked():\n		st.leavesHeadersLocked()\n", new: "	case st.neededLocked():\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31GoneUploadsPay$",
		what: "what handlers of ended sessions keep is not asked of others",
		old:  "	if l.closed && r != heldHeaders {\n", new: "	if false {\n",
	},
	{
		attack: "A31", file: "giveway.go", pkg: "tests/costs", test: "^TestAttackA31WordsStay$",
		what: "answers that have ended unread count for the average",
		old:  "	if r == heldUnread {\n		for", new: "	if false {\n		for",
	},
	{
		attack: "A31", file: "giveway.go", pkg: "tests/costs", test: "^TestAttackA31(Readers|Uploads)Stay$",
		what: "streams that are not read give way before those that are",
		old:  "	slow, keepers, _ = s.backlogsLocked(", new: "	keepers, slow, _ = s.backlogsLocked(",
	},
	{
		attack: "A31", file: "shed.go", pkg: "tests/costs", test: "^TestAttackA31ReadersStay$",
		what: "streams that have ended unread give way like others",
		old:  " && !s.ledger.boundsUnread() ||", new: " ||",
	},
	{
		attack: "A31", file: "receiver.go", pkg: "tests/costs", test: "^TestAttackA31UnreadGivesWay$",
		what: "unread bytes beyond the pool cost their streams",
		old:  "	if !fits {\n", new: "	if !fits && false {\n",
	},
	{
		attack: "A31", file: "serveconn.go", pkg: "tests/costs", test: "^TestAttackA31ConnectionsLast$",
		what: "connections are refused when there is no room",
		old:  "	if full := conf.shared.admit(); full != nil {\n", new: "	if full := conf.shared.admit(); false {\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31ChargedAsKept",
		what: "bytes of headers that are stored twice are charged twice",
		old:  "		cost += s.copiedBytes(h)\n", new: "",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31(ChargedAsKept|ChunksGivenBack)$",
		what: "unread bytes are charged with the memory that holds them",
		old:  "		now = max(now, kept)\n", new: "		_ = kept\n",
	},
	{
		attack: "A31", file: "northbound.go", test: "^TestChunksFit$",
		what: "unread bytes are in chunks that they nearly fill",
		old:  "getChunk(chunkFor(len(p), b.unread))", new: "getChunk(len(p))",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31GivenBack$",
		what: "headers are charged",
		old:  "	l.used[r] += n\n	return true\n", new: "	return true\n",
	},
	{
		attack: "A31", file: "streams.go", pkg: "tests/costs", test: "^TestAttackA31GivenBack$",
		what: "headers are given back when a handler returns late",
		old:  "	st.freeLocked()\n	st.returnHeadersLocked()\n	s.mu.Unlock()\n", new: "	st.freeLocked()\n	s.mu.Unlock()\n",
	},
	{
		attack: "A31", file: "credit.go", pkg: "tests/costs", test: "^TestAttackA31GivenBack$",
		what: "unread bytes are given back when they are dropped",
		old:  "	if !grants && !s.ledger.isLow(owed) {\n", new: "	if !grants {\n",
		also: []edit{{"credit.go", "	} else if s.ledger.isLow(owed) {\n", "	} else if false {\n"}},
	},
	{
		attack: "A31", file: "pools.go", pkg: "tests/costs", test: "^TestAttackA31Streams$",
		what: "a stream is charged with its handler and the buffer of its response",
		old:  "	streamTakes = 8 << 10\n", new: "	streamTakes = 4 << 10\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31ReadBuffers$",
		what: "large buffers are only for sessions while the pool has room",
		old:  "	if p.used.Load() > p.crowdedAt()-n {\n", new: "	if false {\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31SendBuffers$",
		what: "batches are small while the pool is nearly full",
		old:  "	if l.borrows(batchSize) {\n", new: "	if l.lend(batchSize); true {\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31CopyBuffers$",
		what: "buffers of ReadFrom are charged",
		old:  "	if st.copies > 0 || p.used.Load() > p.limit/4 ||", new: "	if p == nil &&",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31ManyClients$",
		what: "a frame that is coming in is charged",
		old:  "	if l == nil || int64(n) <= l.frame {\n", new: "	if true {\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestAttackA31ManyServers$",
		what: "values and names cost more than their text",
		old:  "	cost := s.inflate.size + nameOverhead*len(h)\n	for i := range h {\n", new: "	cost := s.inflate.size\n	for i := range h[:0] {\n",
	},
	{
		attack: "A31", file: "upgrade.go", pkg: "tests/costs", test: "^Test(UpgradedSessions(AreCharged|GiveWay)|UpgradesAreRefusedLast)$",
		what: "upgraded sessions are in the pools of their server",
		old:  "	if conf.shared = owner.pools(); conf.shared != nil {\n", new: "	if conf.shared != nil {\n",
	},
	{
		attack: "A31", file: "upgrade.go", pkg: "tests/costs", test: "^TestUpgradesAreRefusedLast$",
		what: "no session is upgraded for which there is no room",
		old:  "		if full := conf.shared.admit(); full != nil {\n", new: "		if full := conf.shared.admit(); false {\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestUpgradedSessionsAreCharged$",
		what: "header blocks that wait for a program of raw streams are charged",
		old:  "		return l.takeForLocked(heldHeaders, int64(n), int64(will))\n	}\n	l.giveLocked(heldHeaders, int64(-n))\n", new: "		return true\n	}\n",
	},
	{
		attack: "A31", file: "ledger.go", pkg: "tests/costs", test: "^TestUpgradedSessionsAreCharged$",
		what: "what nobody has accepted is given back with its session",
		old:  "	l.forgetUnacceptedLocked()\n", new: "",
	},
	{
		attack: "A31", file: "ledger.go", test: "^TestRawStreamIsChargedOnce$",
		what: "a complete stream is charged until it is accepted",
		old:  "		return st.raw.opening > 0 && !st.session.ledger.ended()\n", new: "		return false\n",
	},
	{
		attack: "A31", file: "pools.go", pkg: "tests/costs", test: "^TestOwnPool(OfRawSession|OfClient)?$",
		what: "the headers of a session without a Server or Transport are bounded",
		old:  "	case own < 0:\n", new: "	case true:\n",
	},
	{
		attack: "A31", file: "rawkept.go", test: "^TestRawStreamIsChargedOnce$",
		what: "the block of a SYN_STREAM is charged once",
		old:  "	r.setKeptLocked(r.kept+n, n)\n", new: "	r.st.session.ledger.keepsLocked(n, n)\n	r.setKeptLocked(r.kept+n, 0)\n",
	},
	{
		attack: "A23", file: "config.go", test: "^TestConfigTimes$",
		what: "no timer keeps a processor busy",
		old:  "			*field = max(*field, leastTime)\n", new: "			*field = max(*field, 1)\n",
	},
}
