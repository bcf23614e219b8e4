package main

import (
	"fmt"
	"io"
	"net/http"
)

// download sends a body of each bytes on each of some streams at once.
func download(streams int, each int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		n := int64(float64(each) * scale)
		if target == "tcp" {
			return rawBulk(streams, n*int64(streams))(target, 1)
		}
		rt, url, err := serveOne(target, func(w http.ResponseWriter, r *http.Request) {
			n := n
			if r.URL.Path == "/warm" {
				n = 1 << 20
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			_ = send(w, n) // a failure is the client's to report
		})
		if err != nil {
			return nil, err
		}
		if err := inParallel(streams, func(int) error { return wantBytes(rt, url+"warm", 1<<20) }); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := inParallel(streams, func(int) error { return wantBytes(rt, url, n) }); err != nil {
			return nil, err
		}
		return meter.bulk(n * int64(streams)), nil
	}
}

// upload sends a request body.
func upload(total int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		n := int64(float64(total) * scale)
		if target == "tcp" {
			return rawBulk(1, n)(target, 1)
		}
		rt, url, err := serveOne(target, func(w http.ResponseWriter, r *http.Request) {
			got, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, got)
		})
		if err != nil {
			return nil, err
		}
		put := func(n int64) error {
			req, err := http.NewRequest(http.MethodPut, url, io.LimitReader(zeros{}, n))
			if err != nil {
				return err
			}
			req.ContentLength = n
			_, err = exchange(rt, req)
			return err
		}
		if err := put(1 << 20); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := put(n); err != nil {
			return nil, err
		}
		return meter.bulk(n), nil
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
