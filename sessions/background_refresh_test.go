package sessions

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

func TestScanActive(t *testing.T) {
	checkScanActive(t, newClient(t))
}

func checkScanActive(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	s := open(t, rdb, Options{})
	const users = scanPage + 100
	want := make(map[string]string)
	for i := range users {
		user := fmt.Sprint("u[", i)
		s.mustAppend(t, user, eventAt(int64(1000+i%2), "e1"))
		if i%2 == 0 {
			continue // inactive
		}
		want[user] = ""
		if i%3 == 0 {
			want[user] = "v000002"
			s.mustPut(t, userstate.List{RecID: userstate.NewRecID("v000002"), User: user, ModelVersion: "v000002", SequenceVersion: 1})
		}
	}
	s.mustPut(t, userstate.List{RecID: `id "without" version`, User: "u[1", SequenceVersion: 1})
	got := make(map[string]string)
	err := s.ScanActive(t.Context(), time.UnixMilli(1001), func(page []ActiveUser) error {
		for _, a := range page {
			got[a.User] = a.Version
		}
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %d users, error %v; want %d with their versions", len(got), err, len(want))
	}
	stop := errors.New("stop")
	if err := s.ScanActive(t.Context(), time.Time{}, func([]ActiveUser) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got error %v, want that of the callback", err)
	}
}
