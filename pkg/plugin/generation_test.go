package plugin

import "testing"

func TestGeneration(t *testing.T) {
	for _, want := range []Generation{First, Second} {
		text, err := want.MarshalText()
		var got Generation
		if err != nil || got.UnmarshalText(text) != nil || got != want {
			t.Errorf("%d is %q, %v, and read as %d", want, text, err, got)
		}
	}
	var g Generation
	if err := g.UnmarshalText([]byte("3")); err == nil || err.Error() != `"3": there are the generations 1 and 2 of ulogd` {
		t.Errorf("%v", err)
	}
}
