package main

// retryEntries are the defences against A27: a request that ends one session after the
// other.
var retryEntries = []entry{
	{
		attack: "A27", file: "receiver_control.go", pkg: "tests/retries",
		what: "a request that met an error GOAWAY is not sent again",
		old:  "	if s.farewell != nil && st.onWire {\n", new: "	if false {\n",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "no request is sent again whose session an error GOAWAY ended",
		old:  "	if lost != nil && s.farewell == nil && proven", new: "	if lost != nil && proven",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a request that servers may have processed is sent again once",
		old:  " || o == outlookDoubtful && t.doubtful {", new: " {",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a request that a GOAWAY of SPDY/2 met is sent again once",
		old:  "		return outlookDoubtful // the GOAWAY", new: "		return outlookUnseen // the GOAWAY",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a request whose answer has begun is not sent again",
		old:  "	case st.answerBegunLocked():\n", new: "	case false:\n",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a request that must not be repeated is not",
		old:  " && proven && isReplayable(req) {", new: " && proven {",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "a new session that is lost takes no request with it to the next",
		old:  " && proven && isReplayable(req) {", new: " && (proven || true) && isReplayable(req) {",
	},
	{
		attack: "A27", file: "retry.go", pkg: "tests/retries",
		what: "tries are apart",
		old:  "	if tries > 1 {\n", new: "	if tries > 99 {\n",
	},
	{
		attack: "A27", file: "transport_configure.go", pkg: "tests/retries",
		what: "tries count while an http.Transport dials",
		old:  "triesKey{t}, sent))", new: "triesKey{t}, &tries{n: sent.n}))",
	},
}
