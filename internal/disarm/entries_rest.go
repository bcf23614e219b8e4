package main

// restEntries are the defences against A11 to A25: what a peer, or a party behind the peer, can
// find out, forge, and hold up.
var restEntries = []entry{
	{
		attack: "A11", file: "compress.go",
		what: "values that are secret, or chosen by a stranger, take no part in matches",
		old:  "		c.encodeSafe(nv)\n", new: "		c.encoder.Match(nv)\n",
	},
	{
		attack: "A12", file: "namevalue.go",
		what: "names of headers are tokens in lower case",
		old:  "		if byteClass[c]&nameByte == 0 {\n			return headerErrorf(\"H5\", \"byte %#02x in name", new: "		if c == 0 {\n			return headerErrorf(\"H5\", \"byte %#02x in name",
	},
	{
		attack: "A12", file: "namevalue.go",
		what: "values of headers have no control bytes",
		old:  "		if byteClass[c]&valueByte != 0 {\n			nulBefore = false", new: "		if c != 0 {\n			nulBefore = false",
	},
	{
		attack: "A13", file: "upgrade.go",
		what: "a request to upgrade has no body",
		old:  "	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:", new: "	case false:",
	},
	{
		attack: "A14", file: "session.go",
		what: "tables of a session grow with what is in them",
		old:  "streams:   make(map[uint32]*Stream),", new: "streams:   make(map[uint32]*Stream, 10000),",
	},
	{
		attack: "A15", file: "server.go",
		what: "a handler's panic is its own",
		old:  "		if v := recover(); v != nil", new: "		if v := any(nil); v != nil",
	},
	{
		attack: "A16", file: "receiver_headers.go",
		what: "ids of streams rise",
		old:  "	case f.id < s.lastPeerID: // SPEC S2\n", new: "	case f.id == 0: // SPEC S2\n",
	},
	{
		attack: "A16", file: "state.go",
		what: "a stream has one reply",
		old:  "		return RstStreamInUse\n", new: "		return 0\n",
	},
	{
		attack: "A17", file: "ending.go",
		what: "a session that ends waits a second for its peer",
		old:  "const linger = time.Second", new: "const linger = time.Minute",
	},
	{
		attack: "A18", file: "streams.go",
		what: "a body that is cut ends with an error",
		old:  "s.creditLocked(st.in.finish(st.readEnd(reason), drop))", new: "s.creditLocked(st.in.finish(endOfStream, drop))",
	},
	{
		attack: "A19", file: "receiver_control.go",
		what: "streams that the peer of a GOAWAY will not serve end",
		old:  "		if st.state.ours && st.id > last {", new: "		if st.state.ours && st.id > last+1000 {",
	},
	{
		attack: "A20", file: "retry.go",
		what: "only what a server has not processed is sent again",
		old:  "	case !reset.Remote || !reset.Retryable():\n", new: "	case false:\n",
	},
	{
		attack: "A21", file: "push_client.go",
		what: "pushes are of the origin that the request went to",
		old:  "	if promised.URL.Scheme != s.schemeOf(cause) || !strings.EqualFold(promised.URL.Host, hostOf(cause)) {", new: "	if promised.URL.Scheme == strings.ToUpper(hostOf(cause)+s.schemeOf(cause)) {",
	},
	{
		attack: "A21", file: "push_client.go", pkg: "tests/windows", test: "^TestAttackA21",
		what: "pushes that nobody asks for leave half of the slots",
		old:  "min(c.MaxConcurrentStreams/2, ", new: "min(c.MaxConcurrentStreams, ",
	},
	{
		attack: "A21", file: "push_client.go", pkg: "tests/windows", test: "^TestAttackA21",
		what: "they are dropped after a minute",
		old:  "	if a.armed || len(a.pushes) == 0 {\n", new: "	if true {\n",
	},
	{
		attack: "A21", file: "push_client.go", pkg: "tests/windows", test: "^TestAttackA21",
		what: "calls of AcceptPush have a bound",
		old:  "	case a.asking >= c.MaxConcurrentStreams:\n", new: "	case a.asking < 0:\n",
	},
	{
		attack: "A22", file: "examples/internal/tunnel/accept.go", pkg: "examples/relay",
		what: "an origin shows its token before there is a session",
		old:  "	return equal && bearer && known && want != \"\"", new: "	return equal == equal && bearer == bearer && known && want != \"\"",
	},
	{
		attack: "A23", file: "server_conf.go",
		what: "the first frame is due in ten seconds",
		old:  "firstSet(own, firstSet(hs.ReadTimeout, defaultFirstFrameTimeout))", new: "firstSet(own, hs.ReadTimeout)",
		also: []edit{{"config.go", "	defaultFirstFrameTimeout = 10 * time.Second\n", "	defaultFirstFrameTimeout = 10 * time.Second // nowhere used\n"}},
	},
	{
		attack: "A23", file: "server_strangers.go",
		what: "a TLS handshake is due in that time too",
		old:  "	if limit <= 0 {\n		return ln\n", new: "	if limit != 0 {\n		return ln\n",
	},
	{
		attack: "A23", file: "meet.go", pkg: "tests/says",
		what: "a peer that speaks another protocol is known by its first bytes",
		old:  "	if verdict == firstForeign {\n", new: "	if verdict == firstForeign && s.met {\n",
	},
	{
		attack: "A23", file: "meet.go", pkg: "tests/says",
		what: "a client does not wait for ever for a server that says nothing",
		old:  "	limited := s.conf.FirstFrameTimeout == 0 //", new: "	limited := s.conf.FirstFrameTimeout > 0 //",
	},
	{
		attack: "A24", file: "internal/shown/redact.go",
		what: "logs do not show secrets",
		old:  "	case isSecretHeader(name) || isSecretValue(value):", new: "	case isSecretValue(value):",
	},
	{
		attack: "A24", file: "internal/shown/shown.go", pkg: "internal/shown", test: "^TestHeadersAreBounded$",
		what: "what is shown of a frame is bounded",
		old:  "			if len(b)-start > f.All {\n", new: "			if len(b)-start < 0 {\n",
	},
	{
		attack: "A24", file: "internal/shown/shown.go", pkg: "internal/shown", test: "^TestJSONShowsNothingThatDoesNotPrint$",
		what: "objects of JSON do not upset a terminal",
		old:  "		case r == '\\n', r == utf8.RuneError && n == 1, r != 0x7f && r < utf8.RuneSelf, unicode.IsPrint(r):\n", new: "		case r != 0:\n",
	},
	{
		attack: "A25", file: "settings.go",
		what: "the store of settings is bounded",
		old:  "	if len(m.order) >= maxSettingsServers {", new: "	if len(m.order) < 0 {",
	},
	{
		attack: "A23", file: "deadline.go", pkg: "tests/ends", test: "^TestDeadlineLimitsTheEnd$",
		what: "a handler's write deadline limits the end of its answer",
		old:  "	case d.then != nil || d.at.IsZero():\n", new: "	case true:\n",
	},
	{
		attack: "A23", file: "deadline.go", pkg: "tests/ends", test: "^TestDeadlineLimitsTheEnd$",
		what: "a deadline that has passed when the handler returns limits the end, too",
		old:  "		d.setLocked(time.Now().Add(grace), then)\n", new: "		d.setLocked(time.Time{}, nil)\n",
	},
}
