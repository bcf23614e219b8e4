package spdy

// The names in this file are those of 2015, kept so that programs written then still compile.

// The pseudo headers of SPDY/3 and 3.1 (SPEC §2.4), and an ordinary header.
const (
	HEADER_STATUS         string = ":status"
	HEADER_VERSION        string = ":version"
	HEADER_PATH           string = ":path"
	HEADER_METHOD         string = ":method"
	HEADER_HOST           string = ":host"
	HEADER_SCHEME         string = ":scheme"
	HEADER_CONTENT_LENGTH string = "Content-Length"
)

// INITIAL_FLOW_CONTOL_WINDOW, misspelt as ever, is the size in bytes of every flow-control window
// before either side changes the size (SPEC W2).
const INITIAL_FLOW_CONTOL_WINDOW int32 = defaultWindow

// NORTHBOUND_SLOTS was the number of frames that a stream could hold for a slow application. It has
// no effect any more: the stream's receive window (Config.StreamWindow) bounds the northbound
// buffer in bytes.
const NORTHBOUND_SLOTS = 5
