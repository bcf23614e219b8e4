package strangers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// The honest users.
const (
	downloads  = 10
	uploads    = 2
	uploadPace = 640_000          // bytes a second of each upload
	patience   = 60 * time.Second // time limit of an honest transfer
)

// A transfer is the download or upload of an honest user.
type transfer struct {
	name   string
	number int // of the pattern
	length int
	meter  *meter // of the direction

	moved atomic.Int64 // bytes received so far that match the pattern

	mu    sync.Mutex
	ended time.Time // zero while it runs
	err   error     // the failure; nil while there is none
}

// receive reads r to the end and compares the bytes with the pattern.
func (t *transfer) receive(r io.Reader) error {
	want, buf := newPattern(t.number), make([]byte, chunk)
	for {
		n, err := r.Read(buf)
		if !want.matches(buf[:n]) {
			return fmt.Errorf("%w among those before %d", errWrongByte, t.moved.Load()+int64(n))
		}
		moved := t.moved.Add(int64(n))
		switch {
		case err == io.EOF && moved == int64(t.length):
			return nil
		case err == io.EOF:
			return fmt.Errorf("a clean end after %d of %d bytes", moved, t.length)
		case err != nil:
			return err
		}
	}
}

// fail records the first failure of the transfer.
func (t *transfer) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil && err != nil {
		t.err = fmt.Errorf("%s after %d of %d bytes: %w", t.name, t.moved.Load(), t.length, err)
	}
}

// end records the end of the transfer, and the failure if err is not nil.
func (t *transfer) end(err error) {
	t.fail(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = time.Now()
}

func (t *transfer) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// A mark is the progress of a transfer at a moment.
type mark struct {
	at    time.Time
	moved int64
}

func (t *transfer) mark() mark { return mark{time.Now(), t.moved.Load()} }

// share returns the bytes moved since a mark divided by the fair number of bytes. The time
// after the end of the transfer does not count.
func (t *transfer) share(since mark) float64 {
	t.mu.Lock()
	until := t.ended
	t.mu.Unlock()
	if until.IsZero() {
		until = time.Now()
	}
	if !until.After(since.at) {
		return 0 // the transfer had ended before the mark
	}
	return float64(t.moved.Load()-since.moved) / t.meter.fair(since.at, until)
}

// download reads a film as fast as it arrives.
func (t *transfer) download(ctx context.Context, user http.RoundTripper, base string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := ask(ctx, user, http.MethodGet, fmt.Sprintf("%s/film?number=%d&bytes=%d", base, t.number, t.length), nil, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ContentLength != int64(t.length) {
		return fmt.Errorf("the answer is %s with %d bytes", res.Status, res.ContentLength)
	}
	return t.receive(res.Body)
}

// upload sends a pattern at a steady pace.
func (t *transfer) upload(ctx context.Context, user http.RoundTripper, base string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body := &pacedBody{ctx: ctx, text: newPattern(t.number), length: t.length, began: time.Now()}
	res, err := ask(ctx, user, http.MethodPost, fmt.Sprintf("%s/keep?number=%d", base, t.number), body, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || string(answer) != fmt.Sprint(t.length)) {
		err = fmt.Errorf("the answer is %s, %.100q", res.Status, answer)
	}
	return err
}

// A pacedBody is a request body of length bytes that provides uploadPace bytes a second, and
// catches up after a delay.
type pacedBody struct {
	ctx    context.Context
	text   *pattern
	length int
	began  time.Time
	given  int
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.given == b.length {
		return 0, io.EOF
	}
	due := b.began.Add(time.Duration(b.given) * time.Second / uploadPace)
	if err := pass(b.ctx, time.Until(due)); err != nil {
		return 0, err
	}
	late := int(time.Since(due).Seconds() * uploadPace)
	n, err := b.text.Read(p[:min(len(p), max(chunk, late), b.length-b.given)])
	b.given += n
	return n, err
}

// pass waits for d, or until ctx ends.
func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask sends a request.
func ask(ctx context.Context, user http.RoundTripper, method, url string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		panic(err) // a mistake of the suite
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return user.RoundTrip(req)
}
