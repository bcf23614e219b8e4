package dials

import (
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// TestFieldsOfHTTPTransport: every exported field and method of http.Transport, as of the Go that
// runs the test, is one of spdy.Transport, or has a row in docs/net-http.md that says why not.
// No row is about a name that is there, or that http.Transport does not have.
func TestFieldsOfHTTPTransport(t *testing.T) {
	theirs, same := namesOf(reflect.TypeFor[*http.Transport]()), namesOf(reflect.TypeFor[*spdy.Transport]())
	page, err := os.ReadFile("../../docs/net-http.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n## Fields and methods of http.Transport\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	rows := make(map[string]string) // what is said about a name
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*) \| ([^|]*) \|`).FindAllStringSubmatch(section, -1) {
		for _, name := range regexp.MustCompile("`([A-Za-z0-9]+)`").FindAllStringSubmatch(row[1], -1) {
			rows[name[1]] = row[2]
		}
	}
	for name := range theirs {
		says, ok := rows[name]
		require.True(t, ok, "%s has no row", name)
		require.Equal(t, same[name] != nil, !strings.HasPrefix(says, "no"), "%s: %s", name, says)
		if same[name] != nil && name != "Clone" && name != "RoundTrip" {
			require.Equal(t, theirs[name], same[name], name)
		}
	}
	for name := range rows {
		require.Contains(t, theirs, name, "it has a row")
	}
}

// namesOf are the exported fields, with their types, and methods of a struct.
func namesOf(p reflect.Type) map[string]reflect.Type {
	all := make(map[string]reflect.Type)
	for i := range p.Elem().NumField() {
		if f := p.Elem().Field(i); f.IsExported() {
			all[f.Name] = f.Type
		}
	}
	for i := range p.NumMethod() {
		m := p.Method(i)
		all[m.Name] = methodOf(m.Type)
	}
	return all
}

// methodOf is the type of a method without its receiver.
func methodOf(m reflect.Type) reflect.Type {
	var in, out []reflect.Type
	for i := 1; i < m.NumIn(); i++ {
		in = append(in, m.In(i))
	}
	for i := range m.NumOut() {
		out = append(out, m.Out(i))
	}
	return reflect.FuncOf(in, out, m.IsVariadic())
}

// TestClone: a clone has each exported field, and shares nothing that the original may change.
func TestClone(t *testing.T) {
	var tr spdy.Transport
	v := reflect.ValueOf(&tr).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if !v.Type().Field(i).IsExported() {
			continue
		}
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int, reflect.Int64:
			f.SetInt(int64(i + 1))
		case reflect.Func:
			f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { panic("called") }))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		default:
			t.Fatalf("a field of the kind %v", f.Kind())
		}
	}
	tr.Config.StreamWindow = 1 << 20
	tr.TLSClientConfig.ServerName = "name"
	tr.ProxyConnectHeader.Set("Name", "value")
	c := tr.Clone()
	w := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		require.False(t, w.Field(i).IsZero(), f.Name)
		switch f.Type.Kind() {
		case reflect.Func:
			require.Equal(t, v.Field(i).Pointer(), w.Field(i).Pointer(), f.Name)
		case reflect.Pointer, reflect.Map:
			require.NotEqual(t, v.Field(i).Pointer(), w.Field(i).Pointer(), f.Name)
		default:
			require.Equal(t, v.Field(i).Interface(), w.Field(i).Interface(), f.Name)
		}
	}
	require.Equal(t, tr.Config, c.Config)
	require.Equal(t, "name", c.TLSClientConfig.ServerName)
	require.Equal(t, tr.ProxyConnectHeader, c.ProxyConnectHeader)
	require.Nil(t, new(spdy.Transport).Clone().TLSClientConfig)
	require.Nil(t, new(spdy.Transport).Clone().Config)
}
