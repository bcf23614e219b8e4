package main

// dialEntries are the defences of a Transport against connections that do not get through, which any
// network makes, and any server that a client is sent to.
var dialEntries = []entry{
	{
		attack: "A28", what: "requests start another dial while one is slow",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestPatientRequest$",
		old: "	if n < maxDials && !p", new: "	if n < 1 && !p",
	},
	{
		attack: "A28", what: "a request does not wait for a dial that others have left",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestFailuresUntilRecovery$",
		old: "!latest.left && !p.aged", new: "!p.aged",
	},
	{
		attack: "A28", what: "dials of an origin are bounded",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestDialsAtATime$",
		old: "	maxDials     = 4\n", new: "	maxDials     = 40\n",
	},
	{
		attack: "A28", what: "dials that hang make way for new ones",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestFailuresUntilRecovery$",
		old: "		o.dials[1].cancel()\n", new: "",
	},
	{
		attack: "A28", what: "the oldest dial has its time",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestDialsAtATime$",
		old: "		o.dials[1].replaced = true\n		o.dials[1].cancel()\n",
		new: "		o.dials[0].replaced = true\n		o.dials[0].cancel()\n",
	},
	{
		attack: "A28", what: "whoever is patient dials ever less often",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestPatientRequest$",
		old: "	return max(dialPatience, latest.began.Sub(o.waiters[0].came))\n", new: "	return dialPatience\n",
	},
	{
		attack: "A28", what: "a dial for nobody goes on",
		file: "transport_pool.go", pkg: "tests/dials", test: "^TestDialIsFinished$",
		old: "	case o.alone:\n		p.endDialsLocked(o)\n", new: "	case o.alone || len(o.waiters) == 0:\n		p.endDialsLocked(o)\n",
	},
	{
		attack: "A28", what: "a dial for nobody ends",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestDialForNobodyEnds$",
		old: "	default:\n		p.endDialsLocked(o)\n", new: "",
	},
	{
		attack: "A28", what: "dials for nobody are few",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestDialsForNobodyAreFew$",
		old: "len(p.strays) > maxStrays {", new: "len(p.strays) > 9*maxStrays {",
	},
	{
		attack: "A28", what: "dials beside the first that is through are cancelled",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestPatientRequest$",
		old: "	if len(o.waiters) == 0 {\n		p.endDialsLocked(o)\n	}\n", new: "",
	},
	{
		attack: "A28", what: "connections take no longer than DialTimeout",
		file: "transport_dial.go", pkg: "tests/dials", test: "^TestSilence$",
		old: "cmp.Or(t.DialTimeout, dialTimeout)", new: "cmp.Or(t.DialTimeout, 9*dialTimeout)",
	},
	{
		attack: "A28", what: "a SOCKS5 proxy has a minute",
		file: "proxydial.go", pkg: "tests/dials", test: "^TestSilence$",
		old: "time.Now().Add(proxyTimeout)", new: "time.Now().Add(9 * proxyTimeout)",
	},
	{
		attack: "A28", what: "MaxConnsPerHost holds",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestMaxConnsPerHost$",
		old: "p.conns[key] >= p.t.MaxConnsPerHost\n", new: "p.conns[key] > p.t.MaxConnsPerHost\n",
	},
	{
		attack: "A28", what: "a session that comes too late for the limit is closed",
		file: "transport_dials.go", pkg: "tests/dials", test: "^TestMaxSessionsPerHost$",
		old: "slices.Contains(o.dials, d) && p.mayHaveAnother(o.sessions)", new: "slices.Contains(o.dials, d)",
	},
	{
		attack: "A28", what: "idle sessions are limited",
		file: "transport_idle.go", pkg: "tests/dials", test: "^TestMaxIdleConns$",
		old: "limit != 0 && n >= limit", new: "false",
	},
	{
		attack: "A28", what: "an http.Transport dials no further where no streams are allowed",
		file: "transport_refused.go", pkg: "tests/retries", test: "^TestNoStreamsAtPresent$",
		old: "	if countOf(sessions, (*pooledSession).barren) >= maxResting {\n", new: "	if false {\n",
	},
}
