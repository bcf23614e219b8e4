package spdy

import (
	"net/http"

	amahi "github.com/amahi/spdy"
)

// write writes a frame of the codec and fills in h, the header of the original frame.
func (f *Framer) write(h *ControlFrameHeader, t ControlFrameType, id StreamId, frame amahi.Frame) error {
	f.out.n = 0
	err := f.codec.WriteFrame(frame)
	if err != nil && f.out.n == 0 { // the codec rejects the frame
		return &Error{InvalidControlFrame, id}
	}
	h.version, h.frameType = Version, t
	h.length = uint32(max(f.out.n-headSize, 0))
	return err
}

// writeHeaders is write for a frame with headers; make builds the frame around the compressed
// headers.
func (f *Framer) writeHeaders(h *ControlFrameHeader, t ControlFrameType, id StreamId, headers http.Header, make func(block []byte) amahi.Frame) error {
	switch {
	case f.writeErr != nil:
		return f.writeErr
	case id == 0:
		return &Error{ZeroStreamId, 0}
	case id > maxId:
		return &Error{InvalidControlFrame, id}
	}
	block, err := f.deflate.block(headers)
	if err == nil {
		err = f.write(h, t, id, make(block))
	}
	f.writeErr = err // later blocks depend on this block
	return err
}

// maxId is the largest number of a stream.
const maxId = 1<<31 - 1

func (frame *SynStreamFrame) write(f *Framer) error {
	if frame.AssociatedToStreamId > maxId {
		return &Error{InvalidControlFrame, frame.StreamId}
	}
	return f.writeHeaders(&frame.CFHeader, TypeSynStream, frame.StreamId, frame.Headers, func(block []byte) amahi.Frame {
		return &amahi.SynStreamFrame{
			StreamID:           uint32(frame.StreamId),
			AssociatedStreamID: uint32(frame.AssociatedToStreamId),
			Priority:           frame.Priority & 7,
			Slot:               frame.Slot,
			Flags:              amahi.FrameFlags(frame.CFHeader.Flags),
			Block:              block,
		}
	})
}

func (frame *SynReplyFrame) write(f *Framer) error {
	return f.writeHeaders(&frame.CFHeader, TypeSynReply, frame.StreamId, frame.Headers, func(block []byte) amahi.Frame {
		return &amahi.SynReplyFrame{StreamID: uint32(frame.StreamId), Flags: amahi.FrameFlags(frame.CFHeader.Flags), Block: block}
	})
}

func (frame *HeadersFrame) write(f *Framer) error {
	return f.writeHeaders(&frame.CFHeader, TypeHeaders, frame.StreamId, frame.Headers, func(block []byte) amahi.Frame {
		return &amahi.HeadersFrame{StreamID: uint32(frame.StreamId), Flags: amahi.FrameFlags(frame.CFHeader.Flags), Block: block}
	})
}

func (frame *RstStreamFrame) write(f *Framer) error {
	if frame.StreamId == 0 {
		return &Error{ZeroStreamId, 0}
	}
	if frame.Status == 0 {
		return &Error{InvalidControlFrame, frame.StreamId}
	}
	frame.CFHeader.Flags = 0
	return f.write(&frame.CFHeader, TypeRstStream, frame.StreamId, &amahi.RstStreamFrame{
		StreamID: uint32(frame.StreamId),
		Status:   amahi.RstStatus(frame.Status),
	})
}

func (frame *SettingsFrame) write(f *Framer) error {
	entries := make([]amahi.Setting, len(frame.FlagIdValues))
	for i, v := range frame.FlagIdValues {
		entries[i] = amahi.Setting{ID: amahi.SettingID(v.Id), Flags: uint8(v.Flag), Value: v.Value}
	}
	return f.write(&frame.CFHeader, TypeSettings, 0, &amahi.SettingsFrame{
		Flags:   amahi.FrameFlags(frame.CFHeader.Flags),
		Entries: entries,
	})
}

func (frame *PingFrame) write(f *Framer) error {
	if frame.Id == 0 {
		return &Error{ZeroStreamId, 0}
	}
	frame.CFHeader.Flags = 0
	return f.write(&frame.CFHeader, TypePing, 0, &amahi.PingFrame{ID: frame.Id})
}

func (frame *GoAwayFrame) write(f *Framer) error {
	frame.CFHeader.Flags = 0
	return f.write(&frame.CFHeader, TypeGoAway, frame.LastGoodStreamId, &amahi.GoAwayFrame{
		LastGoodStreamID: uint32(frame.LastGoodStreamId),
		Status:           amahi.GoAwayStatus(frame.Status),
	})
}

func (frame *WindowUpdateFrame) write(f *Framer) error {
	frame.CFHeader.Flags = 0
	return f.write(&frame.CFHeader, TypeWindowUpdate, frame.StreamId, &amahi.WindowUpdateFrame{
		StreamID: uint32(frame.StreamId),
		Delta:    frame.DeltaWindowSize,
	})
}

func (frame *DataFrame) write(f *Framer) error {
	if frame.StreamId == 0 {
		return &Error{ZeroStreamId, 0}
	}
	if frame.StreamId > maxId || len(frame.Data) > MaxDataLength {
		return &Error{InvalidDataFrame, frame.StreamId}
	}
	return f.codec.WriteFrame(&amahi.DataFrame{
		StreamID: uint32(frame.StreamId),
		Flags:    amahi.FrameFlags(frame.Flags),
		Data:     frame.Data,
	})
}
