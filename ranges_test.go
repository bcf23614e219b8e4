package spdy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A numberRange is the range that the comment on a field gives, as "Range: 64 KiB to 2^31-1". One
// without an end ends with the largest int.
type numberRange struct{ least, most int64 }

var rangeText = regexp.MustCompile(`Range: (more than 0\b|1 ms and more|((?:2\^31-1|[0-9][0-9,]*[0-9]|[0-9])(?: [KM]iB)?) (?:and more|to ((?:2\^31-1|[0-9][0-9,]*[0-9]|[0-9])(?: [KM]iB)?)))`)

// structComments returns the comments on the fields of the package's structs, by "Struct.Field".
func structComments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	comments := make(map[string]string)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, ident := range f.Names {
						text := strings.Join(strings.Fields(f.Doc.Text()+f.Comment.Text()), " ")
						comments[spec.Name.Name+"."+ident.Name] = text
					}
				}
			}
			return false
		})
	}
	return comments
}

// parseNumber reads "32,767", "64 KiB" or "2^31-1".
func parseNumber(t *testing.T, text string) int64 {
	t.Helper()
	if text == "2^31-1" {
		return math.MaxInt32
	}
	digits, unit, _ := strings.Cut(strings.ReplaceAll(text, ",", ""), " ")
	n, err := strconv.ParseInt(digits, 10, 64)
	require.NoError(t, err, text)
	return n << map[string]int{"": 0, "KiB": 10, "MiB": 20}[unit]
}

// rangeOf reads the range of a field from its comment.
func rangeOf(t *testing.T, name, comment string) numberRange {
	t.Helper()
	found := rangeText.FindAllStringSubmatch(comment, -1)
	require.Len(t, found, 1, "the comment on %s gives one range: %s", name, comment)
	switch least, most := found[0][2], found[0][3]; {
	case least == "":
		return numberRange{1, math.MaxInt64}
	case most == "":
		return numberRange{parseNumber(t, least), math.MaxInt64}
	default:
		return numberRange{parseNumber(t, least), parseNumber(t, most)}
	}
}

// numberFields are the numbers among the exported fields of a struct, by name.
func numberFields(of reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(of) {
		if kind := f.Type.Kind(); f.IsExported() && (kind == reflect.Int || kind == reflect.Int64) {
			names = append(names, f.Name)
		}
	}
	return names
}

// Every number that can be configured has a range in its comment, which says what 0 means and
// what less means.
func TestNumbersHaveRanges(t *testing.T) {
	comments := structComments(t)
	for _, of := range []reflect.Type{
		reflect.TypeFor[Config](), reflect.TypeFor[Pools](), reflect.TypeFor[Transport](), reflect.TypeFor[Server](), reflect.TypeFor[Framer](),
	} {
		names := numberFields(of)
		require.NotEmpty(t, names)
		for _, name := range names {
			full := of.Name() + "." + name
			rangeOf(t, full, comments[full])
			field, _ := of.FieldByName(name)
			if of == reflect.TypeFor[Config]() && field.Type.Kind() == reflect.Int {
				continue // the comment on Config says it for all of them
			}
			require.Regexp(t, `\b0\b.* (and less|less|Less) (mean|that|see|means)`, comments[full], full)
		}
	}
}

// configRoles are the kinds of sessions for which a Config is completed.
var configRoles = map[string]struct {
	client bool
	data   sending
}{
	"server": {false, httpSending},
	"client": {true, sending{ours: true}},
}

// What the comments on the numbers of a Config say is true: values in the range are taken, those
// outside count as the nearest one, 0 and less mean the default.
func TestConfigRanges(t *testing.T) {
	comments := structComments(t)
	for _, name := range numberFields(reflect.TypeFor[Config]()) {
		field, _ := reflect.TypeFor[Config]().FieldByName(name)
		if field.Type.Kind() != reflect.Int {
			continue // see TestConfigTimes
		}
		limits := rangeOf(t, name, comments["Config."+name])
		for role, of := range configRoles {
			data := of.data
			if name == "UnreadBudget" { // which other sessions do not look at
				data = rawSending
			}
			completed := func(n int64) int64 {
				conf := Config{FlowControl: FlowControlPeerUnaware}
				reflect.ValueOf(&conf).Elem().FieldByName(name).SetInt(n)
				require.NoError(t, conf.check(data), "%s of %d", name, n)
				return reflect.ValueOf(conf.withDefaults(of.client, data)).Elem().FieldByName(name).Int()
			}
			standard := completed(0)
			for _, n := range []int64{1, limits.least - 1, limits.least, limits.least + 1, limits.most - 1, limits.most, limits.most + 1, math.MaxInt} {
				want := min(max(n, limits.least), limits.most)
				if n <= 0 {
					want = standard
				}
				require.Equal(t, want, completed(n), "%s of a %s set to %d", name, role, n)
			}
			for _, n := range []int64{-1, math.MinInt} {
				require.Equal(t, standard, completed(n), "%s of a %s set to %d", name, role, n)
			}
			require.GreaterOrEqual(t, standard, limits.least, name)
			require.LessOrEqual(t, standard, limits.most, name)
		}
	}
}

// Times that are set are a millisecond at least, so that no timer keeps a processor busy.
func TestConfigTimes(t *testing.T) {
	times := 0
	for _, name := range numberFields(reflect.TypeFor[Config]()) {
		conf := new(Config)
		field := reflect.ValueOf(conf).Elem().FieldByName(name)
		if field.Kind() != reflect.Int64 {
			continue
		}
		times++
		for n, want := range map[int64]int64{1: 1e6, 1e6 - 1: 1e6, 1e6 + 1: 1e6 + 1, math.MaxInt64: math.MaxInt64} {
			field.SetInt(n)
			require.Equal(t, want, reflect.ValueOf(conf.withDefaults(false, httpSending)).Elem().FieldByName(name).Int(), name)
		}
	}
	require.Equal(t, 7, times)
}

// Two numbers that are set to the ends of their ranges, or beyond, are either taken or the reason
// for an error that names one of them, for all kinds of sessions.
func TestConfigPairs(t *testing.T) {
	values := []int64{math.MinInt, -1, 0, 1, 64 << 10, math.MaxInt32, math.MaxInt}
	conf := new(Config)
	all := reflect.ValueOf(conf).Elem()
	refused := 0
	for _, one := range []string{"StreamWindow", "SessionWindow", "MaxConcurrentStreams", "MaxStreamWindow", "UnreadBudget"} {
		for _, two := range numberFields(all.Type()) {
			for _, n := range values {
				for _, m := range values {
					all.SetZero()
					all.FieldByName(one).SetInt(n)
					all.FieldByName(two).SetInt(m)
					refused += wantPair(t, conf, one, two)
				}
			}
		}
	}
	require.Greater(t, refused, 10)
}

func wantPair(t *testing.T, conf *Config, one, two string) (refused int) {
	t.Helper()
	for _, data := range []sending{httpSending, rawSending, {ours: true}, {ours: true, theirs: true}} {
		if err := conf.check(data); err != nil {
			var of *ConfigError
			require.ErrorAs(t, err, &of)
			require.Subset(t, []string{one, two, "AcceptPush"}, []string{of.Field, of.Other})
			refused++
			continue
		}
		d := conf.withDefaults(true, data)
		sum := data.kinds() * int64(d.StreamWindow)
		require.LessOrEqual(t, sum, int64(d.SessionWindow), "%s and %s: %+v", one, two, conf)
		require.GreaterOrEqual(t, d.StreamWindow, 64<<10)
		require.GreaterOrEqual(t, d.grants.pool, int64(0))
		require.Positive(t, d.grants.opens)
		require.Positive(t, d.MaxConcurrentStreams)
		require.LessOrEqual(t, int64(d.MaxConcurrentStreams)*sum/data.kinds(), int64(maxWindow))
	}
	return refused
}
