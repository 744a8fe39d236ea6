package recs

import "context"

// Popular returns what users without a list are recommended, zero if there is nothing.
func (c *Client) Popular(ctx context.Context) (List, error) { return c.popularItems(ctx) }
