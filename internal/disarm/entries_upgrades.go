package main

// upgradeEntries are the defences of upgrades inside a session, and of what a proxy says of its
// clients.
var upgradeEntries = []entry{
	{
		attack: "A13", file: "httpserver.go", pkg: "tests/upgrades",
		what: "a server that has not offered upgrades takes none",
		old:  "	if upgrades {\n		allowed |= upgradePseudos\n", new: "	if true {\n		allowed |= upgradePseudos\n",
		test: "^TestAttackA13Smuggle$/^not_offered$",
	},
	{
		attack: "A13", file: "upgrade_terms.go", pkg: "tests/upgrades",
		what: "an upgrade has the method CONNECT",
		old:  "	case m.pseudo[pseudoMethod] != http.MethodConnect:\n", new: "	case false:\n",
		test: "^TestAttackA13Smuggle$/^another_method$",
	},
	{
		attack: "A13", file: "upgrade_terms.go", pkg: "tests/upgrades",
		what: "the method of a request to upgrade is one that can be upgraded",
		old:  " || !mayUpgrade(m.method()): // both are tokens\n", new: ": // both are tokens\n",
		test: "^TestAttackA13Smuggle$/^HEAD$",
	},
	{
		attack: "A13", file: "upgrade_terms.go", pkg: "tests/upgrades",
		what: "a request to upgrade has no body",
		old:  "	if req.ContentLength > 0 || len(req.Trailer) > 0 {\n", new: "	if false {\n",
		test: "^TestAttackA13Smuggle$/^a_body$",
	},
	{
		attack: "A13", file: "tunnel_client.go", pkg: "tests/upgrades",
		what: "an answer grants an upgrade only to a request that has asked for it",
		old:  "	if u.upgrade() != \"\" {\n", new: "	if true {\n",
		test: "^TestAttackA13Unasked$",
	},
	{
		attack: "A13", file: "tunnel_client.go", pkg: "tests/upgrades",
		what: "an answer that grants no upgrade opens no tunnel",
		old:  "	if !connected && res.StatusCode != http.StatusSwitchingProtocols {\n", new: "	if connected {\n",
		test: "^TestAttackA13Refused$/^spdy$/^3.1_NewStreamProxy$",
	},
	{
		attack: "A13", file: "upgrade_terms.go", pkg: "tests/upgrades",
		what: "a proxy does not forward h2c",
		old:  " && !offers(protocol, \"h2c\") {\n", new: " || offers(\"\", \"h2c\") {\n",
		test: "^TestAttackA13WithoutUpgrades$",
	},
	{
		attack: "A13", file: "proxy_tunnel.go", pkg: "tests/upgrades",
		what: "a proxy passes no protocol that its client has not offered",
		old:  "!offersAll(upgradeIn(r), protocol) {\n", new: "!offersAll(protocol, protocol) {\n",
		test: "^TestWrittenForwarded$/^101_other_protocol$",
	},
	{
		attack: "A13", file: "tunnel.go", pkg: "tests/upgrades",
		what: "a tunnel that a proxy drops ends with its request",
		old:  "	if ctx.Value(http.ServerContextKey) == nil {\n		stop()\n", new: "	if ctx != nil {\n		stop()\n",
		also: []edit{{"tunnel.go", "	\"net/http\"\n", ""}},
		test: "^TestAttackA13UnusedTunnel$/^spdy$/^3.1_proxied=true$",
	},
	{
		attack: "A17", file: "bytestream.go",
		what: "what is kept of writes to streams that were closed is bounded",
		old:  ", mostKeptLoan, mostKeptLoans-int64(s.sched.keptLoans))\n", new: ")\n",
		test: "^TestCloseKeepsLoan$/^a_bounded_number_of_bytes$",
	},
	{
		attack: "A17", file: "bytestream.go",
		what: "what is kept of a write waits for credit for a limited time",
		old:  "		st.limitTail()\n		ringBell(st.taken)", new: "		ringBell(st.taken)",
		test: "^TestCloseAwaitsCredit$/^none_comes$",
	},
	{
		attack: "A30", file: "proxy_options.go", pkg: "tests/upgrades",
		what: "a proxy does not forward its client's claims of where the request comes from",
		old:  "		if !isClaim(key) {\n", new: "		if !isClaim(key + \"-\") {\n",
	},
	{
		attack: "A30", file: "forward.go", pkg: "tests/upgrades",
		what: "a proxy does not forward such claims in a trailer",
		old:  " && !isClaim(key) }\n", new: " }\n",
		test: "^TestAttackA30Trailers$",
	},
	{
		attack: "A30", file: "proxy.go", pkg: "tests/upgrades",
		what: "a proxy that says where a request comes from does not forward the scheme that its client claims",
		old:  "		if clientSetsScheme(request) {\n", new: "		if request == nil {\n",
		test: "^TestAttackA30Scheme$",
	},
}
