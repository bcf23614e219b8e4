package spdy

// maxWindow is the largest window that either side may grant (SPEC §3, W17).
const maxWindow = 1<<31 - 1

// defaultWindow is the size of every window before SETTINGS or WINDOW_UPDATE
// change it, in bytes (SPDY/3.1 §2.6.8, SPEC W2).
const defaultWindow = 64 << 10

// inflow is a window that this side grants. In bytes, at any time,
//
//	unread + avail + owed == size
//
// where unread is the bytes that the peer has sent and no reader has consumed.
type inflow struct {
	size  int64 // bytes that the peer may have in flight or unread at most
	avail int64 // bytes that the peer may still send
	owed  int64 // bytes consumed and not yet granted again
}

func newInflow(size int64) inflow { return inflow{size: size, avail: size} }

// take charges n bytes of DATA to the window. If the bytes exceed the window, take returns false
// and charges nothing (SPEC W12, W13).
func (f *inflow) take(n int64) bool {
	if n > f.avail {
		return false
	}
	f.avail -= n
	return true
}

// consume records that the application has consumed n bytes, or that n bytes were discarded. Once a
// quarter of the window is owed, consume returns the delta to grant, else 0: late enough to save
// frames, early enough that the peer never blocks.
func (f *inflow) consume(n int64) (grant int64) {
	f.owed += n
	if f.owed < max(f.size/4, 1) {
		return 0
	}
	return f.settle()
}

// settle turns all owed bytes into credit and returns the credit.
func (f *inflow) settle() (grant int64) {
	grant = f.owed
	f.owed = 0
	f.avail += grant
	return grant
}

// outflow is a window that the peer grants. The window may be negative after the peer lowered
// INITIAL_WINDOW_SIZE (SPEC T12, W10).
type outflow struct {
	avail int64
}

// grow adds a WINDOW_UPDATE or a change of INITIAL_WINDOW_SIZE. If the window would exceed 2^31-1,
// grow returns false and changes nothing (SPEC W6, W7, T14).
func (f *outflow) grow(delta int64) bool {
	if f.avail+delta > maxWindow {
		return false
	}
	f.avail += delta
	return true
}

// spend charges n bytes of DATA that are about to be sent.
func (f *outflow) spend(n int64) { f.avail -= n }
