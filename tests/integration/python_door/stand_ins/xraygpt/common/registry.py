class Registry:
    def __init__(self):
        self.models, self.processors = {}, {}

    def get_model_class(self, name):
        return self.models.get(name)

    def get_processor_class(self, name):
        return self.processors.get(name)


registry = Registry()
