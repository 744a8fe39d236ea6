package recs_test

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/recs"
)

func Example() {
	ctx := context.Background()
	client := recs.New(redis.NewClient(&redis.Options{Addr: "localhost:6379", ContextTimeoutEnabled: true}), recs.Options{})
	answers, err := client.Read(ctx, []string{"alice"}, recs.Query{N: 5, ExcludeSeen: true, Categories: []string{"Lips"}})
	fmt.Println(answers, err)
}
