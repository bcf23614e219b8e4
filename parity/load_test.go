package parity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// echo is a handler that sends back what it gets.
func echo(e *env, w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).EnableFullDuplex()
	w.Header().Set("Content-Type", "x/y")
	n, err := io.Copy(w, r.Body)
	e.saw("%d, error %s", n, kind(err))
}

var limitScenarios = []scenario{
	{name: "MaxBytesReader, too much", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 3))
		var tooLarge *http.MaxBytesError
		e.saw("%q %v", b, errors.As(err, &tooLarge) && tooLarge.Limit == 3)
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}, client: send("POST", "/", "hello"), want: `
		> "hel" true
		413 Request Entity Too Large, length 10
		Content-Length: 10
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "too large\n"`},
	{name: "MaxBytesReader, enough", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 5)
		reads(e, w, r)
	}, client: send("POST", "/", "hello"), want: `
		> length 5, read "hello", error none
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "5"`},
	{name: "MaxBytesReader, much too much", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1000))
		e.saw("%d, fails %v", n, err != nil)
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}, client: func(e *env) {
		res, err := e.client.Do(e.request("POST", "/", bytes.NewReader(pattern100K)))
		e.note("error %s, %s", kind(err), res.Status)
		res.Body.Close()
	}, want: `
		> 1000, fails true
		error none, 413 Request Entity Too Large`},
	{name: "MaxBytesHandler", handler: serve(http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v", b, err)
	}), 3)), client: func(e *env) { send("POST", "/", "hel")(e); send("POST", "/", "hello")(e) }, want: `
		200 OK, length 9
		Content-Length: 9
		Content-Type: text/plain; charset=utf-8
		body "hel <nil>"
		200 OK, length 32
		Content-Length: 32
		Content-Type: text/plain; charset=utf-8
		body "hel http: request body too large"`},
	{name: "ParseMultipartForm keeps the rest on disk", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%v", r.ParseMultipartForm(100))
		file, _, err := r.FormFile("file")
		e.saw("%v", err)
		readAll(e.saw, file)
		file.Close()
		e.saw("%v", r.MultipartForm.RemoveAll())
	}, client: multipartUpload, want: `
		> <nil>
		> <nil>
		> read of 5000 bytes, 9e04c7ed147806678beb716fb, error none
		> <nil>
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "headers of 64 KiB", handler: sees(func(r *http.Request) any { return len(r.Header) > 64 }), client: edited(func(r *http.Request) {
		for i := range 64 {
			r.Header.Set(fmt.Sprint("X-Number-", i), strings.Repeat("x", 1000))
		}
	}), want: `
		> true
		204 No Content, length 0
		body ""`},
	{name: "AllowQuerySemicolons", handler: serve(http.AllowQuerySemicolons(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.FormValue("b"))
	}))), client: get("/?a=1;b=2"), want: `
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "2"`},
}

var largeScenarios = []scenario{
	{name: "answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := w.Write(pattern8M)
		e.saw("%d, error %s", n, kind(err))
	}, want: `
		> 8388608, error none
		200 OK, length -1
		Content-Type: application/octet-stream
		body of 8388608 bytes, 32aafae1783585a3f8d9b5`},
	{name: "answer with Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(pattern8M)))
		for part := range slices.Chunk(pattern8M, 10_000) {
			w.Write(part)
		}
	}, want: `
		200 OK, length 8388608
		Content-Length: 8388608
		Content-Type: application/octet-stream
		body of 8388608 bytes, 32aafae1783585a3f8d9b5`},
	{name: "upload", handler: reads, client: func(e *env) { e.show(e.request("POST", "/", bytes.NewReader(pattern8M))) }, want: `
		> length 8388608, read of 8388608 bytes, 32aafae1783585a3f8d9b5, error none
		200 OK, length 7
		Content-Length: 7
		Content-Type: text/plain; charset=utf-8
		body "8388608"`},
	{name: "upload of unknown length", handler: reads, client: func(e *env) {
		e.show(e.request("POST", "/", unsized(bytes.NewReader(pattern8M))))
	}, want: `
		> length -1, read of 8388608 bytes, 32aafae1783585a3f8d9b5, error none
		200 OK, length 7
		Content-Length: 7
		Content-Type: text/plain; charset=utf-8
		body "8388608"`},
	{name: "echo", handler: echo, client: func(e *env) { e.show(e.request("POST", "/", bytes.NewReader(pattern8M))) }, want: `
		> 8388608, error none
		200 OK, length -1
		Content-Type: x/y
		body of 8388608 bytes, 32aafae1783585a3f8d9b5`},
	{name: "upload that nobody reads", handler: write("no, thanks"), client: func(e *env) {
		res, err := e.client.Do(e.request("POST", "/", bytes.NewReader(pattern8M)))
		if err != nil {
			e.note("error: %s", kind(err))
			return
		}
		e.note("%s", res.Status)
		e.body(res)
	}, want: `
		200 OK
		body "no, thanks"`},
	{name: "answer in tiny writes", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		for i := range 20_000 {
			w.Write(pattern100K[i : i+1])
		}
	}, want: `
		200 OK, length -1
		Content-Type: application/octet-stream
		body of 20000 bytes, d655a14c897dd162d4d8175f`},
	{name: "answer that is discarded", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Write(pattern8M)
	}, client: func(e *env) {
		for range 2 {
			res, err := e.client.Get(base)
			n, rerr := io.Copy(io.Discard, res.Body)
			e.note("error %s, %d, error %s", kind(err), n, kind(rerr))
			res.Body.Close()
		}
	}, want: `
		error none, 8388608, error none
		error none, 8388608, error none`},
}

// A counter counts what is read.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// at once runs n requests at the same time and notes how many went as they should.
func atOnce(n int, one func(e *env, i int) error) func(e *env) {
	return func(e *env) {
		var wg sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			wg.Go(func() { errs[i] = one(e, i) })
		}
		wg.Wait()
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			} else if good == 0 {
				e.note("%v", err)
			}
		}
		e.note("%d of %d are right", good, n)
	}
}

// exchange posts a body and says how the answer is not the one that is wanted.
func (e *env) exchange(path string, body, want []byte) error {
	res, err := e.client.Do(e.request("POST", path, bytes.NewReader(body)))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("another answer to %s", path)
	}
	return err
}

var concurrentScenarios = []scenario{
	{name: "100 GETs", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	}, client: atOnce(100, func(e *env, i int) error {
		path := fmt.Sprint("/", i)
		return e.exchange(path, nil, []byte(path))
	}), want: `
		100 of 100 are right`},
	{name: "100 that wait for each other", handler: func() handlerFunc {
		var mu sync.Mutex
		meetings := make(map[*env]*sync.WaitGroup)
		return func(e *env, w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if meetings[e] == nil {
				meetings[e] = new(sync.WaitGroup)
				meetings[e].Add(100)
			}
			all := meetings[e]
			mu.Unlock()
			all.Done()
			all.Wait()
			io.WriteString(w, "together")
		}
	}(), client: atOnce(100, func(e *env, i int) error { return e.exchange("/", nil, []byte("together")) }), want: `
		100 of 100 are right`},
	{name: "50 uploads", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		io.Copy(h, r.Body)
		w.Write(h.Sum(nil))
	}, client: atOnce(50, func(e *env, i int) error {
		sum := sha256.Sum256(pattern100K[i:])
		return e.exchange("/", pattern100K[i:], sum[:])
	}), want: `
		50 of 50 are right`},
	{name: "50 echoes", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	}, client: atOnce(50, func(e *env, i int) error { return e.exchange("/", pattern100K[:i*1000], pattern100K[:i*1000]) }), want: `
		50 of 50 are right`},
	{name: "300 in turn by 10", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.Path)
	}, client: atOnce(10, func(e *env, i int) error {
		for j := range 30 {
			path := fmt.Sprint("/", i, "/", j)
			if err := e.exchange(path, nil, []byte(path)); err != nil {
				return err
			}
		}
		return nil
	}), want: `
		10 of 10 are right`},
}
