package main

// ownershipEntries are the defences of a session's users against each other: pushes, settings and
// headers reach only their owner.
var ownershipEntries = []entry{
	{
		attack: "A25", file: "settings.go", pkg: "tests/ownership",
		what: "settings are returned by the key of the session",
		old:  "s.conf.Settings.Load(s.conf.SettingsKey)", new: "s.conf.Settings.Load(\"all\")",
		also: []edit{{"settings.go", "s.conf.Settings.Update(s.conf.SettingsKey, clear, entries)", "s.conf.Settings.Update(\"all\", clear, entries)"}},
	},
	{
		attack: "A25", file: "settings.go", pkg: "tests/ownership",
		what: "a session without a key keeps no settings",
		old:  "	if s.client && s.conf.SettingsKey != \"\" && (", new: "	if s.client && (",
	},
	{
		attack: "A25", file: "transport_pool.go", pkg: "tests/ownership",
		what: "a Transport tells the ports of a host apart",
		old:  "return k.scheme + \"://\" + k.addr }", new: "return k.scheme + \"://\" + strings.Split(k.addr, \":\")[0] }",
		also: []edit{{"transport_pool.go", "	\"slices\"\n", "	\"slices\"\n	\"strings\"\n"}},
	},
	{
		attack: "A30", file: "pushmatch.go", pkg: "tests/ownership",
		what: "a push answers requests with the same credentials",
		old:  "		k.credentials[i] = joinValues(name, headerValues(header, name))\n", new: "		_, _ = i, name\n",
	},
	{
		attack: "A30", file: "pushmatch.go", pkg: "tests/ownership",
		what: "a push answers requests with the same headers that its Vary names",
		old:  "		if name == \"*\" || name != \"\" && !sameValues(name, up.sentValues(name), headerValues(p.cause, name)) {\n",
		new:  "		if name == \"*\" {\n",
	},
	{
		attack: "A30", file: "pushmatch.go", pkg: "tests/ownership",
		what: "a push that is not for everybody answers only its user",
		old:  "	return p.shares(up)\n", new: "	return true\n",
	},
	{
		attack: "A30", file: "pushshare.go", pkg: "tests/ownership",
		what: "a push with a cookie is for its user",
		old:  " && !c.noCache && !c.setsCookie\n", new: " && !c.noCache\n",
	},
	{
		attack: "A30", file: "pushshare.go", pkg: "tests/ownership",
		what: "a push for one user answers no request where the headers name nobody",
		old:  "	case c.oneUser() && !namesUser(p.cause):\n		return false\n", new: "",
	},
	{
		attack: "A30", file: "pushshare.go", pkg: "tests/ownership",
		what: "what a proxy adds names no user",
		old:  "name != \"via\" && name != \"x-real-ip\" && !slices.Contains(claims[:], name)", new: "name != \"\"",
	},
	{
		attack: "A30", file: "pushmatch.go", pkg: "tests/ownership",
		what: "a push with Vary: * answers no request",
		old:  "name == \"*\" || name != \"\" &&", new: "name != \"*\" &&",
	},
	{
		attack: "A30", file: "pushmatch.go", pkg: "tests/ownership",
		what: "the names in Vary are bounded",
		old:  "	if strings.Count(vary, \",\")+strings.Count(vary, \"\\x00\") >= maxVary {\n", new: "	if len(vary) < 0 {\n",
	},
	{
		attack: "A30", file: "push_client.go", pkg: "tests/ownership",
		what: "a push answers only requests that a cache could answer",
		old:  "!takesStored(up.req) || ", new: "",
	},
	{
		attack: "A30", file: "pushmatch.go", pkg: "tests/ownership",
		what: "a push is used while it is fresh",
		old:  "	if !p.answered() || !p.fresh(up.req) {\n", new: "	if !p.answered() {\n",
		also: []edit{{"push_client.go", "	if p == nil || !p.spent() {\n", "	if true {\n"}},
	},
	{
		attack: "A30", file: "pushfresh.go", pkg: "tests/ownership",
		what: "the age of an answer begins before it comes",
		old:  "	return min(before, maxDelta) + p.waited()\n", new: "	return min(before, 0) + p.waited()\n",
	},
	{
		attack: "A30", file: "pushshare.go", pkg: "tests/ownership",
		what: "no-store counts wherever it stands",
		old:  "			c.private = true\n", new: "			c.private = true\n			return c\n",
	},
	{
		attack: "A30", file: "roundtrip.go", pkg: "tests/ownership",
		what: "a push is compared with the request as it was sent",
		old:  "	u.st.request = u.asCause()\n", new: "	u.st.request = u.req\n",
	},
	{
		attack: "A30", file: "push_client.go", pkg: "tests/ownership",
		what: "a push that the end of its cause may stop is not used",
		old:  "	return p.parent.ended && !p.parent.wasReset\n", new: "	return true\n",
	},
	{
		attack: "A30", file: "push_client.go", pkg: "tests/ownership",
		what: "nor one that it has stopped, as the server does not know yet",
		old:  "	return p.parent.ended && !p.parent.wasReset\n", new: "	return p.parent.ended\n",
	},
	{
		attack: "A30", file: "roundtrip.go", pkg: "tests/ownership",
		what: "an unsafe request drops the pushes of its URL when it is sent",
		old:  "	s.outdatePushes(up)\n	res, err := s.awaitResponse(up)\n", new: "	res, err := s.awaitResponse(up)\n",
	},
	{
		attack: "A30", file: "roundtrip.go", pkg: "tests/ownership",
		what: "an unsafe request drops the pushes of its URL when it is answered",
		old:  "	res, err := s.awaitResponse(up)\n	s.outdatePushes(up)\n", new: "	res, err := s.awaitResponse(up)\n",
	},
	{
		attack: "A30", file: "httprequest.go", pkg: "tests/ownership",
		what: "a request keeps the headers that its Connection names",
		old:  "		if len(values) == 0 || notForRequest(v, name) {\n",
		new:  "		if len(values) == 0 || notForRequest(v, name) || httpguts.HeaderValuesContainsToken(req.Header[\"Connection\"], name) {\n",
	},
	{
		attack: "A30", file: "httpheader.go", pkg: "tests/ownership",
		what: "credentials for a proxy end at the proxy",
		old:  "\"proxy-authentication-info\", \"proxy-authorization\":", new: "\"proxy-authentication-info\":",
	},
	{
		attack: "A30", file: "forward.go", pkg: "tests/ownership",
		what: "a challenge of a proxy ends at the next proxy",
		old:  "		if reachOf(lowerName(key)) == endToEnd {\n			dst", new: "		if reachOf(lowerName(key)) != connectionOnly {\n			dst",
	},
	{
		attack: "A30", file: "forward.go", pkg: "tests/ownership",
		what: "a proxy announces no trailer that may not be forwarded",
		old:  "	for key := range from {\n		if mayTrail(key) {\n", new: "	for key := range from {\n		if key != \"\" {\n",
	},
	{
		attack: "A30", file: "examples/internal/tunnel/forward.go", pkg: "examples/internal/tunnel",
		what: "a relay drops what the client's Connection names before it adds headers of its own",
		old:  "	dropNamed(out.Header)\n", new: "	_ = dropNamed\n",
	},
}
