package main

// A Rule is one numbered rule of SPEC.md section 4.
type Rule struct {
	ID       string
	Versions []string // the rule's versions, of "2", "3" and "3.1"
	Text     string   // a short form of the rule and the reaction to a violation
	Peers    string   // behaviour of other implementations, where they differ
	Decision string   // the reason to deviate, or why the rule does not apply
}

var (
	all = []string{"2", "3", "3.1"}
	v2  = []string{"2"}
	v3  = []string{"3", "3.1"}
	v30 = []string{"3"}
	v31 = []string{"3.1"}
)

// A Section is a part of SPEC.md section 4.
type Section struct {
	Title string
	Rules []Rule
}

// sections contain all rules, in the order of SPEC.md. The letters S, X and – of section 5 are
// spelled out: "resets" is a stream error, "closes" a session error.
var sections = []Section{
	{"4.1 Framing", framingRules},
	{"4.2 Header blocks", headerRules},
	{"4.3 Creating streams", streamRules},
	{"4.4 Replies and HEADERS", replyRules},
	{"4.5 DATA and half-close", dataRules},
	{"4.6 RST_STREAM", resetRules},
	{"4.7 SETTINGS", settingsRules},
	{"4.8 PING", pingRules},
	{"4.9 GOAWAY", goAwayRules},
	{"4.10 Flow control", windowRules},
	{"4.11 Server push", pushRules},
	{"4.12 CREDENTIAL", credentialRules},
	{"4.13 HTTP mapping", mappingRules},
}

var framingRules = []Rule{
	{"F1", all, "Exactly length payload bytes belong to a frame, of whatever type, however they arrive.", "", ""},
	{"F2", v3, "Control frames of up to 8192 bytes are accepted.", "Netty and nginx limit the inflated size.", ""},
	{"F3", v3, "A header block over our limit is inflated all the same; its stream is reset with FRAME_TOO_LARGE.", "Chrome closes; nginx and Netty answer 400 or 431.", ""},
	{"F4", v2, "Control frames of an unknown type are skipped.", "Chrome closes, the others skip.", ""},
	{"F5", v3, "The same in SPDY/3, whose text lost the sentence.", "Chrome closes, the others skip.", ""},
	{"F6", all, "SYN_STREAM of another version: UNSUPPORTED_VERSION, then the session ends, for its compression context is lost.", "All close; spdylay has no status 4.", ""},
	{"F7", all, "Other frames of another version are skipped, those with a header block end the session.", "spdylay aborts the process on SYN_REPLY and HEADERS; Chrome, nginx and Netty close.", ""},
	{"F8", all, "A wrong fixed length ends the session with PROTOCOL_ERROR.", "node-spdy sends and wants 8 bytes of GOAWAY in SPDY/2.", ""},
	{"F9", all, "Reserved bits are sent as 0 and ignored.", "", ""},
	{"F10", all, "Undefined flags are sent as 0 and ignored.", "", ""},
	{"F11", all, "DATA with the withdrawn compression flag resets the stream; its bytes are not delivered.", "spdylay, nginx and Netty deliver the bytes, Chrome closes.", ""},
	{"F12", all, "Stream id 0 in DATA, SYN_STREAM, SYN_REPLY, HEADERS or RST_STREAM ends the session.", "spdylay resets stream 0, the others close.", ""},
	{"F13", all, "Empty DATA is legal and, without FIN, nothing.", "", ""},
	{"F14", all, "A peer that makes us answer bogus frames without reading the answers is cut off.", "", ""},
	{"F15", v3, "NOOP, of SPDY/2, is skipped.", "Chrome and spdylay skip it.", ""},
	{"F16", all, "A connection that ends in a frame or under open streams is an error to their readers, never an end.", "", ""},
}

var headerRules = []Rule{
	{"H1", all, "Every block is inflated, in wire order, whatever becomes of its stream.", "", ""},
	{"H2", all, "Broken compression, a wrong dictionary, a final block or bytes behind it end the session.", "The others accept a stream without a dictionary.", ""},
	{"H3", all, "A block that inflates and does not parse costs its stream PROTOCOL_ERROR.", "spdylay closes; Chrome, nginx and Netty reset.", ""},
	{"H4", all, "An empty name costs the stream PROTOCOL_ERROR.", "spdylay closes.", ""},
	{"H5", all, "So does an upper-case or otherwise invalid name.", "moby ends its read loop.", ""},
	{"H6", all, "So does a name that occurs twice.", "spdylay closes.", ""},
	{"H7", v3, "So does a NUL at either end of a value, or two together.", "spdylay closes.", ""},
	{"H8", v2, "So do two NULs together.", "", ""},
	{"H9", v2, "Empty values are accepted, against the text.", "Every peer sends and accepts them.", "The text wants PROTOCOL_ERROR; no peer does that, and they do send them (SPEC 5.4)."},
	{"H10", v3, "Empty values are legal.", "", ""},
	{"H11", all, "A control byte in a value costs the stream PROTOCOL_ERROR.", "spdylay resets, nginx answers 400.", ""},
	{"H12", all, "Inflating goes on past the limit without keeping anything, and ends the session at a hard cap.", "spdylay's limit is 16 MiB, Chrome's 32 KiB, nginx' 4×8 KiB, Netty's 16 KiB; node-spdy has none.", ""},
	{"H13", all, "Blocks are compressed in the order in which they reach the wire, each flushed.", "", ""},
	{"H14", v2, "What does not fit 16 bits fails before anything is compressed.", "", ""},
	{"H15", all, "A block that compresses to more than a frame holds ends the session with INTERNAL_ERROR.", "", ""},
	{"H16", v3, "Hop-by-hop headers are not sent.", "", ""},
	{"H17", all, "Those received are dropped.", "spdylay, nginx and Netty tolerate them; to moby any is fatal.", ""},
	{"H18", v3, "A block without pairs is legal.", "moby's SYN_REPLY has none.", ""},
}

var streamRules = []Rule{
	{"S1", all, "Clients open odd streams, servers even ones; the other parity ends the session.", "Netty and node-spdy reset.", ""},
	{"S2", all, "An id below one that was opened before ends the session.", "Chrome does not check, node-spdy drops the frame.", ""},
	{"S3", all, "The latest id once more resets that stream with PROTOCOL_ERROR.", "nginx resets and closes; Chrome and node-spdy ignore it.", ""},
	{"S4", all, "Ids may leave gaps and never wrap; when they are used up the session drains.", "", ""},
	{"S5", all, "A stream may be refused; its block is inflated and its DATA thrown away.", "", ""},
	{"S6", all, "Streams beyond our MAX_CONCURRENT_STREAMS are refused with REFUSED_STREAM.", "spdylay, nginx and Netty do the same; node-spdy has no limit.", ""},
	{"S7", all, "We open no more streams than the peer's MAX_CONCURRENT_STREAMS; the rest wait in order.", "", ""},
	{"S8", all, "DATA and HEADERS may follow the SYN_STREAM before its reply.", "", ""},
	{"S9", all, "FIN on SYN_STREAM closes the creator's half, UNIDIRECTIONAL the other.", "", ""},
	{"S10", v3, "Streams are served by priority, and none starves.", "", ""},
	{"S11", all, "A request that is unidirectional or associated to another stream is reset with PROTOCOL_ERROR.", "spdylay does the same; moby uses parent ids.", ""},
	{"S12", all, "So is a stream of the server that is not a push.", "", ""},
	{"S13", all, "SYN_STREAM after our GOAWAY is ignored, its block inflated.", "Chrome and Netty answer REFUSED_STREAM.", ""},
	{"S14", all, "After the peer's GOAWAY we open no stream: a retryable error.", "", ""},
}

var replyRules = []Rule{
	{"R1", v3, "A second SYN_REPLY: STREAM_IN_USE.", "node-spdy takes it for HEADERS.", ""},
	{"R2", v2, "A second SYN_REPLY: PROTOCOL_ERROR.", "node-spdy takes it for HEADERS.", ""},
	{"R3", v3, "SYN_REPLY after that side's FIN: STREAM_ALREADY_CLOSED.", "", ""},
	{"R4", all, "SYN_REPLY for a stream that was never opened: INVALID_STREAM.", "spdylay resets with 1, nginx closes, Chrome ignores it, node-spdy may open a stream.", ""},
	{"R5", all, "What comes late for a stream that we reset or finished is ignored.", "", ""},
	{"R6", all, "SYN_REPLY from the stream's creator, or on a push: PROTOCOL_ERROR.", "", ""},
	{"R7", all, "HEADERS before the SYN_REPLY of our stream: PROTOCOL_ERROR.", "", ""},
	{"R8", all, "HEADERS on an unknown stream: INVALID_STREAM.", "", ""},
	{"R9", all, "HEADERS after that side's FIN: STREAM_ALREADY_CLOSED, in SPDY/2 PROTOCOL_ERROR.", "", ""},
	{"R10", all, "FIN on HEADERS closes the sender's half.", "node-spdy ignores the flag.", ""},
	{"R11", all, "A name that an earlier HEADERS of the stream had: PROTOCOL_ERROR.", "", ""},
	{"R12", all, "HEADERS after DATA are trailers; a SPDY/2 client ignores them.", "Chrome resets a response with HEADERS.", ""},
	{"R13", all, "After our FIN nothing is sent on the stream but RST_STREAM and WINDOW_UPDATE.", "", ""},
}

var dataRules = []Rule{
	{"D1", all, "DATA for a stream that was never opened: INVALID_STREAM.", "spdylay, Chrome and nginx ignore it.", ""},
	{"D2", v3, "The same after our GOAWAY is ignored.", "", ""},
	{"D3", v3, "DATA on our stream before its SYN_REPLY: PROTOCOL_ERROR.", "spdylay closes, node-spdy delivers it.", ""},
	{"D4", v2, "The same in SPDY/2 ends the session.", "", ""},
	{"D5", v3, "DATA after that side's FIN: STREAM_ALREADY_CLOSED.", "spdylay closes, Chrome ignores it.", ""},
	{"D6", v2, "The same in SPDY/2: PROTOCOL_ERROR.", "", ""},
	{"D7", v3, "DATA on a closed stream: PROTOCOL_ERROR, nothing if we reset it.", "node-spdy answers 2; spdylay, Chrome and nginx ignore it.", ""},
	{"D8", v2, "The same in SPDY/2 is ignored.", "", ""},
	{"D9", all, "DATA from the side that UNIDIRECTIONAL closed is like DATA after FIN.", "", ""},
	{"D10", v31, "DATA that is thrown away is charged to the session window and credited again.", "", ""},
	{"D11", all, "Streams of one priority take turns, with DATA frames of at most 16 KiB.", "", ""},
}

var resetRules = []Rule{
	{"X1", all, "RST_STREAM ends the stream, and what is queued for it is dropped.", "", ""},
	{"X2", all, "RST_STREAM is never answered.", "node-spdy answers with CANCEL.", ""},
	{"X3", all, "After our RST_STREAM the stream is closed; what still comes is ignored, in bounded memory.", "", ""},
	{"X4", all, "Status 0 and unknown ones are errors like any other, never a clean end.", "To Chrome 0 is a clean end; Netty closes.", ""},
	{"X5", all, "A stream error leaves the session alone.", "", ""},
	{"X6", all, "REFUSED_STREAM says that the request may be sent again: the error is Retryable.", "", ""},
	{"X7", v3, "Cancelling a stream stops its pushes, cancelling a push that push.", "", ""},
}

var settingsRules = []Rule{
	{"T1", all, "SETTINGS may come at any time, from either side, or never.", "", ""},
	{"T2", all, "Of an id that comes twice in a frame the first entry counts.", "spdylay does the same; nginx, Netty and node-spdy take the last, Chrome closes.", ""},
	{"T3", all, "Later frames override earlier ones.", "", ""},
	{"T4", all, "Ids are sent in ascending order.", "Chrome closes otherwise.", ""},
	{"T5", all, "Unknown ids and flags are ignored and not sent.", "Chrome closes; Netty takes id 0 for a version.", "A client that asks for an upgrade sends an id of its own, and a server replies with it, see docs/upgrades.md."},
	{"T6", all, "A client never sets PERSIST_VALUE or CLEAR; a server ignores both.", "", ""},
	{"T7", all, "A server does not apply entries flagged PERSISTED.", "nginx skips them, Netty those of id 7; spdylay applies them; node-spdy misreads the rest.", ""},
	{"T8", all, "CLEAR makes a client forget what the server had it keep; the frame's own entries are then kept.", "", ""},
	{"T9", all, "A client returns what it keeps, flagged PERSISTED, in later sessions with the same server.", "", "The server is the origin in Config.SettingsKey, not the address: behind a proxy all servers have one."},
	{"T10", v3, "What is kept can be erased.", "", ""},
	{"T11", all, "MAX_CONCURRENT_STREAMS limits the receiver of the frame; lowering it ends no stream.", "", ""},
	{"T12", v3, "INITIAL_WINDOW_SIZE moves the send window of every open stream by the difference.", "spdylay forgets the open ones.", ""},
	{"T13", v3, "A value above 2^31-1 ends the session.", "nginx closes; Chrome and Netty ignore it; spdylay half applies it.", ""},
	{"T14", v3, "A shift beyond 2^31-1 resets the stream with FLOW_CONTROL_ERROR.", "nginx does the same.", ""},
	{"T15", v31, "SETTINGS leave the session window alone.", "", ""},
	{"T16", v2, "SPDY/2 writes ids little-endian, before the flags.", "golang.org/x/net/spdy used the layout of SPDY/3.", ""},
	{"T17", v2, "INITIAL_WINDOW_SIZE means nothing in SPDY/2.", "", ""},
	{"T18", all, "The count is checked against the length before anything is made of it.", "moby allocates by it.", ""},
	{"T19", v3, "A window of 0 is legal: streams wait.", "", ""},
}

var pingRules = []Rule{
	{"P1", all, "A PING of the peer's parity is sent back, ahead of everything else.", "nginx echoes every PING.", ""},
	{"P2", all, "One of ours that we do not wait for is ignored.", "Chrome closes.", ""},
	{"P3", all, "Ours have our parity and rise; they wrap past 0.", "", ""},
	{"P4", all, "Id 0 is ignored and never sent.", "moby ends on it.", ""},
	{"P5", all, "Echoes that the peer does not read are bounded.", "", ""},
}

var goAwayRules = []Rule{
	{"G1", all, "A session says GOAWAY before it closes.", "nginx and Chrome 33 just close.", ""},
	{"G2", all, "A session error is a GOAWAY with its status, then the end.", "nginx and Chrome 33 just close.", ""},
	{"G3", all, "The last good id is the highest of the peer's streams that we took.", "node-spdy sends the highest of both sides.", ""},
	{"G4", all, "After our GOAWAY we take and open no streams.", "", ""},
	{"G5", all, "Our streams above the peer's last good id fail, as retryable if the status is OK; the others finish.", "node-spdy ends all above it, whoever opened them; nginx ignores it.", ""},
	{"G6", all, "A draining session serves what is open and ends with it.", "moby stops reading at once.", ""},
	{"G7", all, "A second GOAWAY is legal; we send at most two.", "", ""},
	{"G8", v3, "Unknown statuses are information only; 11 is INTERNAL_ERROR.", "", ""},
	{"G9", v31, "SETTINGS, PING and WINDOW_UPDATE work on after GOAWAY.", "", ""},
	{"G10", all, "Nothing is answered after a session error.", "", ""},
}

var windowRules = []Rule{
	{"W1", v3, "DATA payload alone counts.", "", ""},
	{"W2", v3, "Windows begin at 65536 bytes per stream and, in 3.1, per session.", "moby knows no windows.", ""},
	{"W3", v3, "No DATA goes beyond either window.", "moby sends on.", ""},
	{"W4", v3, "Empty DATA passes closed and negative windows.", "", ""},
	{"W5", v3, "A delta of 0: FLOW_CONTROL_ERROR on a stream, the end of the session on stream 0.", "Netty closes; spdylay, nginx and node-spdy ignore it.", ""},
	{"W6", v3, "A stream window beyond 2^31-1: FLOW_CONTROL_ERROR.", "", ""},
	{"W7", v31, "A session window beyond 2^31-1 ends the session.", "node-spdy sends a GOAWAY that has no such status.", ""},
	{"W8", v3, "WINDOW_UPDATE for a stream that is not open is ignored.", "", ""},
	{"W9", v30, "WINDOW_UPDATE for the session is ignored in SPDY/3.", "node-spdy goes over to 3.1.", ""},
	{"W10", v3, "A negative window is paid back before anything is sent.", "", ""},
	{"W11", v3, "A receiver that lowers INITIAL_WINDOW_SIZE tolerates what is on its way.", "Netty allows the difference.", "We never lower it: SETTINGS are not acknowledged, so Config takes no window below the 65536 that every stream may begin with."},
	{"W12", v3, "Overrunning a stream window: FLOW_CONTROL_ERROR.", "Chrome uses 1, spdylay and node-spdy do not notice.", ""},
	{"W13", v31, "Overrunning the session window ends the session.", "spdylay and node-spdy do not notice.", ""},
	{"W14", v31, "Erroneous DATA is charged to the session window too.", "", ""},
	{"W15", v3, "After the peer's FIN its stream gets no WINDOW_UPDATE.", "", ""},
	{"W16", v3, "A proxy does not hand WINDOW_UPDATE on.", "", ""},
	{"W17", v3, "We grant no more than 2^31-1.", "", ""},
	{"W18", v30, "A control frame that cannot be buffered: FLOW_CONTROL_ERROR.", "", "Does not apply: a header block that is too large is FRAME_TOO_LARGE (F3), and no other control frame is kept."},
	{"W19", v3, "Credit is given in large steps.", "spdylay, Chrome and Netty at half a window.", "At a quarter of the window, which keeps a sender with a full window and a long way to go moving."},
	{"W20", v2, "SPDY/2 has no flow control; WINDOW_UPDATE is an unknown type.", "", ""},
	{"W21", v31, "The session window may be raised right away.", "", ""},
}

var pushRules = []Rule{
	{"U1", all, "Pushes come from the server, on an even unidirectional stream associated to an open request.", "", ""},
	{"U2", all, "A push associated to nothing: INVALID_STREAM.", "Chrome uses 3.", ""},
	{"U3", v3, "A push on stream 0 ends the session.", "", ""},
	{"U4", v3, "A push without scheme, host or path: PROTOCOL_ERROR.", "", ""},
	{"U5", v2, "A push without a URL: PROTOCOL_ERROR.", "", ""},
	{"U6", all, "A push associated to a stream that is not open: INVALID_STREAM.", "spdylay uses 1.", ""},
	{"U7", all, "A push that is not unidirectional: PROTOCOL_ERROR.", "", ""},
	{"U8", all, "A push is announced before the content that would make the client ask for it.", "", ""},
	{"U9", all, "Only what a GET would return is pushed.", "", ""},
	{"U10", all, "HEADERS on a push that repeat its URL or a name: PROTOCOL_ERROR.", "", "HEADERS after DATA are trailers, as on any stream (R12), instead of an error."},
	{"U11", all, "DATA on a push before its status: PROTOCOL_ERROR.", "", ""},
	{"U12", all, "Pushes begin before the FIN of the request's answer and may outlive it.", "", ""},
	{"U13", all, "A client does not ask for what is being pushed.", "", "It does unless a cache could answer the request with the push, and nothing can cut that short, see Config.AcceptPush."},
	{"U14", v3, "A push of another origin: REFUSED_STREAM.", "Chrome does the same.", ""},
	{"U15", v3, "A pushed request has the headers of the request that caused it.", "", ""},
	{"U16", v3, "Pushes count against the client's MAX_CONCURRENT_STREAMS; 0 means none.", "", ""},
	{"U17", all, "A client sends no SYN_REPLY, HEADERS or DATA on a push.", "", ""},
	{"U18", all, "The same URL again while the first push is unclaimed: PROTOCOL_ERROR.", "Chrome does the same.", "Requests with other credentials may cause a push of it each."},
	{"U19", all, "A push associated to a push: INVALID_STREAM.", "", ""},
	{"U20", all, "The SYN_STREAM of a push has the method and the answer's headers too.", "node-spdy ends the session without them; Netty wants the answer in HEADERS.", ""},
}

const noCredentials = "Not implemented, as in every peer that is left: the frame is skipped (C4) and nobody asks for a certificate by stream."

var credentialRules = []Rule{
	{"C1", v30, "A malformed CREDENTIAL ends the session.", "Chrome dropped the frame.", noCredentials},
	{"C2", v30, "The vector has eight slots, the first for the certificate of TLS.", "", noCredentials},
	{"C3", v30, "A request with an empty slot: INVALID_CREDENTIALS.", "", noCredentials},
	{"C4", all, "CREDENTIAL is skipped.", "", ""},
}

var mappingRules = []Rule{
	{"M1", all, "A request without a body has FIN on its SYN_STREAM.", "", ""},
	{"M2", v3, "A request that lacks a pseudo header is answered with 400; CONNECT needs no scheme.", "nginx answers 400 to CONNECT too.", ""},
	{"M3", v2, "So is one without method, url or version.", "", ""},
	{"M4", all, "An answer without status or version: PROTOCOL_ERROR.", "moby's has neither.", ""},
	{"M5", v3, "A request body of another length than announced is answered with 400.", "", "The handler's Read fails, and 400 is what is sent if the handler then answers nothing else: it may have begun its own answer."},
	{"M6", v3, "A client ignores a content-length that the body does not have.", "", "A body of another length is an error to its reader: it is what a truncated answer looks like, and a proxy must not hand the wrong number on."},
	{"M7", v3, "POST carries a content-length.", "", "Where the length is known; a body that is not is ended by FIN alone."},
	{"M8", v3, "Clients cope with gzip that they did not ask for.", "", "A Session hands the body on as it came, with its Content-Encoding; taking gzip off unasked would be wrong for proxies."},
	{"M9", v3, "One session per origin.", "", "A Client is one session, for any number of requests at once; how many clients there are is the program's choice."},
	{"M10", v3, "Logins that belong to a connection (NTLM, Negotiate) are serialised.", "", "Does not apply: neither side has such a scheme, and a handler that writes one sees each stream by itself."},
	{"M11", all, "Interim answers are swallowed; a body that waits for 100 is sent at once.", "", ""},
	{"M12", all, "Answers to HEAD, and 204 and 304, have FIN on their SYN_REPLY.", "", ""},
	{"M13", all, "An answer may be complete before its request; the rest is cut off by CANCEL after its FIN.", "Chrome resets a stream whose reply comes before its body is out.", ""},
	{"M14", all, "Trailers are HEADERS with FIN after DATA, without pseudo headers.", "", ""},
	{"M15", all, "CONNECT: 200 without FIN, then bytes both ways, FIN for a half close.", "nginx answers 400.", ""},
	{"M16", all, "Requests and answers go through proxies to and from HTTP/1.1 unharmed.", "", ""},
}
