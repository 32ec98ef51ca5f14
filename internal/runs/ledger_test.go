package runs

import (
	"errors"
	"strings"
	"testing"
)

func TestLedgerIsNeverTooLongToRead(t *testing.T) {
	s := open(t)
	run := create(t, s, Info{})
	if err := run.Record(Resource{Kind: "k", Name: strings.Repeat("n", 2<<20)}); err == nil {
		t.Error("a ledger was written that cannot be read")
	}
	if _, resources, err := s.Load(run.ID()); err != nil || len(resources) != 0 {
		t.Errorf("the ledger is now %v, %v", resources, err)
	}
}

func FuzzLedger(f *testing.F) {
	const id ID = "0123456789abc"
	f.Add([]byte(`{"version":1,"run":{"id":"0123456789abc","state":"running"},"resources":[{"kind":"k","name":"n"}]}`))
	f.Add([]byte(`{"version":1,"run":{"id":"0123456789abc","exitCode":-1e9,"ended":"x"}}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := decode(data, id)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%v is not ErrDamaged", err)
		}
		if err == nil && (l.Run.ID != id || l.Version != ledgerVersion) {
			t.Errorf("it passes as %+v", l)
		}
	})
}
