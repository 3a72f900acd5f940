stackd_core_sources += \
	stackd/app/app.c stackd/app/app.h \
	stackd/app/cmd.c \
	stackd/app/event.c \
	stackd/app/handle.h
