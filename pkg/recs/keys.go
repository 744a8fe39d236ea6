package recs

// DefaultPrefix is that of all keys.
const DefaultPrefix = "genrec"

// Keys names what Redis holds, below a prefix.
type Keys struct{ Prefix string }

// List is a string, the recommendations of a user.
func (k Keys) List(user string) string { return k.Prefix + ":recs:{" + user + "}" }

// Sequence is a string that package sessions reads, what a user did.
func (k Keys) Sequence(user string) string { return k.Prefix + ":seq:{" + user + "}" }

// Popular is a string, what is recommended to users without a list.
func (k Keys) Popular() string { return k.Prefix + ":popular" }

// Near is a hash from items to what is popular near them, of the items that are most so.
func (k Keys) Near() string { return k.Prefix + ":near" }

// Unavailable is a set of items that cannot be had now. The shop writes it.
func (k Keys) Unavailable() string { return k.Prefix + ":unavailable" }

// Blocked is a set of items that are never to be recommended. The shop writes it.
func (k Keys) Blocked() string { return k.Prefix + ":blocked" }

// Categories is a hash from items to their categories, with "|" between them. The shop
// writes it.
func (k Keys) Categories() string { return k.Prefix + ":categories" }

// Titles is a hash from items to what people call them. The shop writes it.
func (k Keys) Titles() string { return k.Prefix + ":titles" }
