package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	requests  = 200
	pieceSize = 64 << 10 // size of the ranges that are read to the end
	tasteSize = 4 << 10  // bytes read of the ranges that are abandoned
)

// ranges opens 200 requests for parts of a file on one connection, as video players do, and
// abandons every other request. The remaining responses must be complete, and the connection must
// still work.
func (d *demo) ranges(ctx context.Context, s *screen) error {
	began := time.Now()
	answers := make([]*http.Response, requests)
	err := each(func(i int) (err error) {
		first := i * (fileSize - pieceSize) / requests
		wanted := fmt.Sprintf("bytes=%d-%d", first, first+pieceSize-1)
		if abandoned(i) {
			wanted = fmt.Sprintf("bytes=%d-", first)
		}
		answers[i], err = get(ctx, d.plain, "http://"+d.plainAddr+"/files/film.bin", http.Header{"Range": {wanted}})
		return err
	})
	if err != nil {
		return err
	}
	s.check("%d answers have begun on one connection, none has been read", requests)
	err = each(func(i int) error { return d.readRange(i, answers[i]) })
	if err != nil {
		return err
	}
	s.check("%d read to the end and right, %d abandoned after %s, in %.2f s",
		requests/2, requests/2, bytesText(tasteSize), time.Since(began).Seconds())
	n, _, err := fetchGenerated(ctx, d.plain, "http://"+d.plainAddr, 32<<20, io.Discard)
	if err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	s.check("the connection then moves %s more: no flow-control credit is lost", bytesText(n))
	return nil
}

func abandoned(i int) bool { return i%2 == 1 }

// readRange reads a response, or the beginning of a response that will be abandoned.
func (d *demo) readRange(i int, res *http.Response) error {
	defer res.Body.Close()
	if res.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("range %d: status %s", i, res.Status)
	}
	first, size := i*(fileSize-pieceSize)/requests, pieceSize
	if abandoned(i) {
		size = tasteSize
	}
	got := make([]byte, size)
	if _, err := io.ReadFull(res.Body, got); err != nil {
		return fmt.Errorf("range %d: %w", i, err)
	}
	if !bytes.Equal(got, d.file[first:first+size]) {
		return fmt.Errorf("range %d: wrong bytes", i)
	}
	if abandoned(i) {
		return nil
	}
	if n, err := res.Body.Read(got); n != 0 || err != io.EOF {
		return fmt.Errorf("range %d: %d bytes too many, %v", i, n, err)
	}
	return nil
}

// each calls do for every request, all at once, and returns all errors.
func each(do func(i int) error) error {
	errs := make([]error, requests)
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// throughRelay uses only net/http on the client's side.
func (d *demo) throughRelay(ctx context.Context, s *screen) error {
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	res, err := get(ctx, client, d.relayURL+"files/film.bin", nil)
	if err != nil {
		return err
	}
	began := time.Now()
	whole, err := readAll(res, http.StatusOK)
	took := time.Since(began)
	if err != nil {
		return err
	}
	if !bytes.Equal(whole, d.file) {
		return errors.New("the file that came through the relay is not the one that was served")
	}
	s.check("a file of %s, whole and right, %s", bytesText(int64(len(whole))), speed(int64(len(whole)), took))
	res, err = get(ctx, client, d.relayURL+"files/film.bin", http.Header{"Range": {"bytes=1000000-1000999"}})
	if err != nil {
		return err
	}
	part, err := readAll(res, http.StatusPartialContent)
	if err != nil {
		return err
	}
	if !bytes.Equal(part, d.file[1_000_000:1_001_000]) {
		return errors.New("the range that came through the relay is not the one that was asked for")
	}
	s.check("206 Partial Content for %s", res.Header.Get("Content-Range"))
	return nil
}

// ping measures round trips on an idle connection.
func (d *demo) ping(ctx context.Context, s *screen) error {
	const count = 21
	times := make([]time.Duration, count)
	for i := range times {
		var err error
		if times[i], err = d.tls.Session().PingContext(ctx); err != nil {
			return err
		}
	}
	slices.Sort(times)
	s.check("%d pings over TLS, half of them within %v", count, times[count/2].Round(time.Microsecond))
	return nil
}
