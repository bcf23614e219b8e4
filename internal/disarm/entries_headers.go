package main

// headerEntries are the defences against A26: header blocks that are too large for one of
// the sides, which must not cost more than the stream that they belong to.
var headerEntries = []entry{
	{
		attack: "A26", pkg: "tests/headers", what: "a block above the limit is not sent",
		file: "headerlimit.go",
		old:  "	case len(b) > limit:\n",
		new:  "	case false:\n",
		test: "^TestAttackA26Sent$/^(request|raw)$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "a block with too many names is not sent",
		file: "headerlimit.go",
		old:  "	case names > most:\n",
		new:  "	case false:\n",
		test: "^TestAttackA26Sent$/^names$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "no block is sent that does not fit in a frame",
		file: "headerlimit.go",
		old:  "	c.MaxSendHeaderBytes = min(c.MaxSendHeaderBytes, largestSentBlock)\n",
		new:  "",
		test: "^TestAttackA26Sent$/^frame$/^spdy$/^3.1_safe$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "a handler's answer is replaced",
		file: "exchange.go",
		old:  "		st.replaceAnswer(err)\n",
		new:  "		x.err = err\n",
		test: "^TestAttackA26Sent$/^answer$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "a handler that panics does not reset the answer that replaced its own",
		file: "server.go",
		old:  "			if !st.answerReplaced() {\n",
		new:  "			if true {\n",
		test: "^TestAttackA26Proxies$/^SPDY",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "nor does a proxy whose writer fails",
		file: "proxy.go",
		old:  "		if !st.answerReplaced() {\n",
		new:  "		if true {\n",
		test: "^TestAttackA26Proxies$/^SPDY",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "trailers that are not sent cost their stream",
		file: "exchange.go",
		old:  "		st.reset(RstInternalError, \"the trailers cannot be sent\", err) // not FIN: the client would miss nothing\n",
		new:  "		_ = st.closeWrite()\n",
		test: "^TestAttackA26Sent$/^trailers$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "what an honest sender may send is inflated, whatever the limit is",
		file: "headerlimit.go",
		old:  "	return max(hardHeaderFactor*c.MaxHeaderBytes, leastHardLimit)\n",
		new:  "	return hardHeaderFactor * c.MaxHeaderBytes\n",
		test: "^TestAttackA26Received$/^request$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "limits do not overflow",
		file: "headerlimit.go",
		old:  "	c.MaxHeaderBytes = min(c.MaxHeaderBytes, largestHeaderLimit)\n",
		new:  "",
		test: "^TestAttackA26Received$/^limits$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "a request that is too large is answered",
		file: "headerlimit.go",
		old:  "	app, _ := s.app.(*httpServerApp)\n	return app\n",
		new:  "	return nil\n",
		test: "^TestAttackA26Received$/^(request|upload|names)$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "a client may receive larger answers than requests",
		file: "headerlimit.go",
		old:  "		receive, send = send, receive\n",
		new:  "		send = receive\n",
		test: "^TestAttackA26Proxies$/^ConfigureTransport$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "late headers are measured as their sender does it",
		file: "receiver_headers.go",
		old:  "	st.lateBytes += s.inflate.size\n",
		new:  "	st.lateBytes += s.inflate.size + 24*len(h)\n",
		test: "^TestAttackA26Late$/^request$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "those of raw streams too",
		file: "rawheaders.go",
		old:  "	case st.lateBytes+size > s.conf.MaxHeaderBytes:\n",
		new:  "	case st.lateBytes+kept > s.conf.MaxHeaderBytes:\n",
		test: "^TestAttackA26Late$/^raw$",
	},
	{
		attack: "A26", pkg: "tests/headers", what: "no trailers are sent that our client does not take",
		file: "headerlimit.go",
		old:  "	if !s.client && (part == partTrailers || part == partPush) {\n",
		new:  "	if false {\n",
		test: "^TestAttackA26Late$/^answer$",
	},
}
