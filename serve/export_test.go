package serve

// MaxInFlight is how many requests are answered at once.
const MaxInFlight = maxInFlight

// Routes returns all of them as METHOD PATH.
func Routes() (all []string) {
	var s Server
	for _, r := range append(s.routes(), s.openRoutes()...) {
		all = append(all, r.method+" "+r.path)
	}
	return all
}
