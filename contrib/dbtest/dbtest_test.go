package dbtest

import (
	"slices"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// TestServers: each engine starts, takes the original schemas, and is back after a
// crash.
func TestServers(t *testing.T) {
	for _, e := range []Engine{PostgreSQL, MySQL} {
		t.Run(string(e), func(t *testing.T) {
			s := Get(t, e)
			d := s.Database(t)
			for _, layout := range []string{"ulogd2-flat", "ulogd2"} {
				s.Database(t).LoadOriginal(t, layout)
			}
			d.Exec(t, "create table t (a int, b varchar(10))", "insert into t values (1, 'x'), (2, null)")
			s.Kill()
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			if got, want := d.Dump(t, "t", "c"), []string{"a=1 b=x", "a=2 b=NULL"}; !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
