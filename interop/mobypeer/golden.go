package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/moby/spdystream/spdy"
)

// golden prints the results of package spdy for frames, one line per frame:
//
//	write HEX, KIND    a frame that was written
//	read HEX, ERROR    the result of reading HEX with a separate Framer
func golden(w io.Writer) error {
	var out bytes.Buffer
	framer, err := spdy.NewFramer(&out, &out)
	if err != nil {
		return err
	}
	for _, frame := range frames {
		out.Reset()
		if err := framer.WriteFrame(frame); err != nil {
			return err
		}
		fmt.Fprintf(w, "write %s, %T\n", hex.EncodeToString(out.Bytes()), frame)
	}
	for _, input := range inputs() {
		framer, err := spdy.NewFramerWithOptions(io.Discard, bytes.NewReader(input),
			spdy.WithMaxHeaderCount(3), spdy.WithMaxHeaderFieldSize(100), spdy.WithMaxControlFramePayloadSize(400))
		if err != nil {
			return err
		}
		frame, err := framer.ReadFrame()
		fmt.Fprintf(w, "read %s, %s\n", hex.EncodeToString(input), outcome(frame, err))
	}
	return nil
}

func outcome(frame spdy.Frame, err error) string {
	var wrong *spdy.Error
	switch {
	case errors.As(err, &wrong):
		return fmt.Sprintf("%s on stream %d", wrong.Err, wrong.StreamId)
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf("%T", frame)
}

// frames are written in this order, since header blocks depend on earlier blocks.
var frames = []spdy.Frame{
	&spdy.SynStreamFrame{StreamId: 1, Headers: http.Header{"Streamtype": {"data"}, "Port": {"80"}}},
	&spdy.SynStreamFrame{StreamId: 3, AssociatedToStreamId: 1, Priority: 5, Slot: 9,
		CFHeader: spdy.ControlFrameHeader{Flags: spdy.ControlFlagFin}, Headers: http.Header{"A": {"b", "c", ""}}},
	&spdy.SynReplyFrame{StreamId: 1, Headers: http.Header{}},
	&spdy.HeadersFrame{StreamId: 1, Headers: http.Header{"Streamtype": {"data"}}},
	&spdy.RstStreamFrame{StreamId: 1, Status: spdy.Cancel},
	&spdy.SettingsFrame{FlagIdValues: []spdy.SettingsFlagIdValue{
		{Flag: spdy.FlagSettingsPersistValue, Id: spdy.SettingsInitialWindowSize, Value: 65536}, {Id: spdy.SettingsUploadBandwidth, Value: 1}}},
	&spdy.PingFrame{Id: 7},
	&spdy.GoAwayFrame{LastGoodStreamId: 3, Status: spdy.GoAwayProtocolError},
	&spdy.WindowUpdateFrame{StreamId: 1, DeltaWindowSize: 1000},
	&spdy.DataFrame{StreamId: 1, Data: []byte("hello")},
	&spdy.DataFrame{StreamId: 1, Flags: spdy.DataFlagFin, Data: []byte{}},
}

// inputs returns frames, most of them malformed.
func inputs() (inputs [][]byte) {
	for _, text := range []string{
		"",                                      // nothing
		"8003",                                  // a part of a frame header
		"8003000400000004",                      // the payload is missing
		"800300040000000400000001",              // SETTINGS without the announced entry
		"8003000600000004" + "00000000",         // PING 0
		"8003000601000004" + "00000001",         // PING with flags
		"8003000300000008" + "0000000000000001", // RST_STREAM on stream 0
		"8003000300000008" + "0000000100000000", // RST_STREAM without a status
		"8003000700000004" + "00000001",         // GOAWAY of SPDY/2
		"8003000701000008" + "0000000100000000", // GOAWAY with flags
		"8003000901000008" + "0000000100000001", // WINDOW_UPDATE with flags
		"8003000900000004" + "00000001",         // WINDOW_UPDATE that is too short
		"8003000500000000",                      // NOOP
		"8003000a00000002" + "0000",             // CREDENTIAL
		"0000000000000001" + "61",               // DATA on stream 0
		"0000000100000005" + "6162",             // a part of DATA
		"80030004000001f5",                      // too large
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			panic(err)
		}
		inputs = append(inputs, b)
	}
	long := string(bytes.Repeat([]byte("x"), 101))
	for _, h := range []http.Header{
		{"a": {"1"}, "b": {"2"}, "c": {"3"}}, {"a": {"1"}, "b": {"2"}, "c": {"3"}, "d": {"4"}},
		{"a": {long}}, {long: {"a"}}, {"a": {long[1:]}}, {"Connection": {"x"}}, {"Host": {"x"}},
	} {
		for _, frame := range []spdy.Frame{
			&spdy.SynStreamFrame{StreamId: 1, Headers: h}, &spdy.SynReplyFrame{StreamId: 1, Headers: h},
			&spdy.HeadersFrame{StreamId: 1, Headers: h}, &spdy.HeadersFrame{StreamId: 2, Headers: h},
		} {
			inputs = append(inputs, encoded(frame))
		}
	}
	reply := encoded(&spdy.SynReplyFrame{StreamId: 1, Headers: http.Header{"a": {"1"}}})
	bad := bytes.Clone(reply)
	bad[12] ^= 0x0f // the zlib header
	inputs = append(inputs, bad)
	bad = bytes.Clone(reply)
	bad[15] ^= 0xff // the dictionary's checksum
	inputs = append(inputs, bad)
	bad = bytes.Clone(reply)
	bad[11] = 0 // the stream
	return append(inputs, bad)
}

func encoded(frame spdy.Frame) []byte {
	var out bytes.Buffer
	framer, err := spdy.NewFramer(&out, &out)
	if err == nil {
		err = framer.WriteFrame(frame)
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}
