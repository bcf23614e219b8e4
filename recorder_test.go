package spdy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The recorder records what httptest's does.
func TestRecorderLikeHTTPTest(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"nothing":       func(w http.ResponseWriter, r *http.Request) {},
		"header only":   func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X", "y") },
		"status":        func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) },
		"second status": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404); w.WriteHeader(200) },
		"body":          func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>a")); w.Write([]byte("b")) },
		"empty body":    func(w http.ResponseWriter, r *http.Request) { w.Write(nil) },
		"string":        func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}"); io.WriteString(w, "x") },
		"own type": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "a/b")
			w.Write([]byte("x"))
		},
		"type suppressed": func(w http.ResponseWriter, r *http.Request) { w.Header()["Content-Type"] = nil; w.Write([]byte("x")) },
		"own coding": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Transfer-Encoding", "x")
			w.Write([]byte("x"))
		},
		"status then body": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500); w.Write([]byte("x")) },
		"body then status": func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("x")); w.WriteHeader(500) },
		"flush":            func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); w.WriteHeader(500) },
		"error":            func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) },
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			want := httptest.NewRecorder()
			handler(want, nil)
			got := NewRecorder()
			handler(got, nil)
			assert.Equal(t, want.Code, got.Code)
			assert.Equal(t, want.Header(), got.HeaderMap)
			assert.Equal(t, want.Body.String(), got.Body.String())
			assert.Equal(t, want.Flushed, got.Flushed)
		})
	}
}

func TestRecorderZeroValue(t *testing.T) {
	var r ResponseRecorder
	assert.Zero(t, r.Code)
	n, err := r.Write([]byte("abc"))
	require.NoError(t, err)
	assert.Equal(t, 3, n, "forgotten, but written")
	n, err = r.WriteString("de")
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, 200, r.Code)
	assert.Nil(t, r.Body)

	var h ResponseRecorder
	h.Header().Set("X", "y")
	assert.Equal(t, http.Header{"X": {"y"}}, h.HeaderMap)

	var f ResponseRecorder
	f.Flush()
	assert.Equal(t, 200, f.Code)
}

func TestRecorderStatuses(t *testing.T) {
	for _, code := range []int{204, 304} {
		r := NewRecorder()
		r.WriteHeader(code)
		_, err := r.Write([]byte("x"))
		require.ErrorIs(t, err, http.ErrBodyNotAllowed)
		_, err = r.WriteString("x")
		require.ErrorIs(t, err, http.ErrBodyNotAllowed)
		assert.Zero(t, r.Body.Len())
	}
	r := NewRecorder()
	r.WriteHeader(103)
	r.WriteHeader(201)
	assert.Equal(t, 201, r.Code, "an interim answer is not the answer")
	for _, code := range []int{0, 99, 1000} {
		assert.Panics(t, func() { NewRecorder().WriteHeader(code) })
		r.WriteHeader(code) // without effect, as in net/http
	}
}
