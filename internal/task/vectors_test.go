package task

// Literal results of shell tools; digest_test.go says how they were made.
const (
	vectorDefault    = "856cf1ae5a858fcb9ca846e9a387b897d22fef0aa9d5e25529467bef470de0a5"
	vectorIgnore     = "dfbd488cb3057337c8016c9976b720044832bf4d17601e13dc18d1717820f59d"
	vectorEverything = "cc8834ff8a6a414fc2a49ce070850b59b29dde5a43fe378a78a816f581c16129"
	// cat of name and content of every file in the order of Python's sorted(Path.rglob("*")), | sha256sum
	vectorLegacy      = "0f5c5ae20d70f5ea7fea9a79772b1e22b9689a15fedd9766065df08acca6afcd"
	vectorEnvironment = "54915e32b1c6e4e946a6faa85ed0657f"
	vectorImage       = "4158c8065f5739060f1dd92bc5e47ba6"
)
