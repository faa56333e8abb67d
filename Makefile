# Every command is in ./dev, which works without make too.
.PHONY: help demo test lint bench hil setup clean
help demo test lint bench hil setup clean:
	@sh ./dev $@ $(ARGS)
